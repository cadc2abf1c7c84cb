"""The views of schema `spectrum` read Parquet files and have the declared columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.external_tables.duckdb import create_views
from include.lake.sources import ROW_COLUMNS, Source
from include.lake.storage.folder import FolderLake
from include.settings import UserError
from include.warehouse.duckdb_file import DuckDB

TEXT = "varchar(1024)"
EVENTS = Source(
    "source.p.e.raw_events",
    "raw_events",
    ("year", "month", "day"),
    {"event_id": TEXT, "event_timestamp": "bigint"}
    | dict.fromkeys(("year", "month", "day"), "varchar(16)"),
)
BETS = Source(
    "source.p.ledger.game_transactions",
    "game_transactions",
    ("date",),
    {"playerid": TEXT} | ROW_COLUMNS | {"date": TEXT},
)


def rows(lake: Path, source: Source = EVENTS, prefix: str = "") -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        create_views(DuckDB(connection), FolderLake(lake), prefix, [source])
        found: list[tuple[object, ...]] = connection.execute(
            f"from {prefix}spectrum.{source.name} order by all"
        ).fetchall()
        return found


def write(path: Path, columns: Mapping[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(columns)]), path)
    return path


def event(lake: Path, name: str, event_id: str = "e", **columns: object) -> Path:
    path = lake / "raw_events/year=2026/month=09/day=01" / name
    return write(path, {"event_id": event_id, **columns})


def test_columns_are_matched_by_name_and_converted(tmp_path: Path) -> None:
    event(tmp_path, "a.parquet", event_timestamp=1.5, surplus="x")
    event(tmp_path, "b.PARQUET")
    assert rows(tmp_path) == [
        ("e", 1, "2026", "09", "01"),
        ("e", None, "2026", "09", "01"),
    ]


@pytest.mark.parametrize("prefix", ["", "ann_"])
def test_a_parsed_source_reads_its_parsed_rows(tmp_path: Path, prefix: str) -> None:
    good = {"playerid": "ann", "file_name": "a.csv", "line_number": 2}
    folder = tmp_path / BETS.rows_folder(prefix)
    write(folder / "date=2026-09-01/0123.parquet", good | {"problem": None, "raw_row": None})
    write(tmp_path / "game_transactions/date=2026-09-01/raw.parquet", good)
    write(tmp_path / BETS.rows_folder("bob_") / "date=2026-09-01/0123.parquet", good)
    assert rows(tmp_path, BETS, prefix) == [("ann", "a.csv", 2, None, None, "2026-09-01")]


def test_a_source_without_files_is_an_empty_view_with_all_columns(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        create_views(DuckDB(connection), FolderLake(tmp_path), "", [BETS])
        shown = connection.execute("describe spectrum.game_transactions").fetchall()
        assert [row[0] for row in shown] == list(BETS.columns)
        assert connection.execute("from spectrum.game_transactions").fetchall() == []


def test_hidden_files_are_not_read(tmp_path: Path) -> None:
    event(tmp_path, "a.parquet")
    for hidden in ("_b.parquet", ".c.parquet", "_temporary/d.parquet", ".hidden/d.parquet"):
        event(tmp_path, hidden)
    assert len(rows(tmp_path)) == 1


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = event(tmp_path, "a.parquet")
    path.write_bytes(b"PAR1 no parquet")
    with pytest.raises(UserError) as caught:
        rows(tmp_path)
    assert str(path) in str(caught.value)
    assert "replace or remove" in str(caught.value)


@pytest.mark.parametrize("name", ["ann's lake", "lake [1]", "lake *?", "lake \\ {a,b}"])
def test_a_path_may_contain_any_character(tmp_path: Path, name: str) -> None:
    event(tmp_path / name, "a.parquet")
    assert len(rows(tmp_path / name)) == 1


@pytest.mark.parametrize(
    ("pattern", "other"),
    [("a*.parquet", "ab.parquet"), ("a?.parquet", "ab.parquet"), ("a[1].parquet", "a1.parquet")],
)
def test_a_file_name_is_no_pattern(tmp_path: Path, pattern: str, other: str) -> None:
    """Each file is read once. As a pattern, the one name would match the other file too."""
    event(tmp_path, pattern, "pattern")
    event(tmp_path, other, "other")
    assert [row[0] for row in rows(tmp_path)] == ["other", "pattern"]


def test_a_file_that_lands_after_the_views_are_made_is_not_read(tmp_path: Path) -> None:
    event(tmp_path, "a.parquet")
    with duckdb.connect() as connection:
        create_views(DuckDB(connection), FolderLake(tmp_path), "", [EVENTS])
        event(tmp_path, "b.parquet")
        assert connection.execute("select count(*) from spectrum.raw_events").fetchall() == [(1,)]
