"""The views of schema `spectrum` read files of every format and have the declared columns."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.lake.external_tables.duckdb import create_views
from include.lake.sources import Source
from include.lake.storage.folder import FolderLake
from include.settings import UserError
from include.warehouse.duckdb_file import DuckDB

TEXT = "varchar(1024)"
BETS = Source(
    "source.p.ledger.game_transactions",
    "game_transactions",
    ("date",),
    {"playerid": TEXT, "realamount": TEXT, "gameid": TEXT, "date": TEXT},
)


def rows(lake: Path, source: Source = BETS) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        create_views(DuckDB(connection), FolderLake(lake), "spectrum", [source])
        found: list[tuple[object, ...]] = connection.execute(
            f"from spectrum.{source.name} order by all"
        ).fetchall()
        return found


def folder(lake: Path, day: str) -> Path:
    path = lake / "game_transactions" / f"date={day}"
    path.mkdir(parents=True)
    return path


def test_files_of_every_format_are_read_as_text(tmp_path: Path) -> None:
    csv = 'gameid,playerid,realamount\n007,ann,"1,50"\n'
    (folder(tmp_path, "2026-09-01") / "a.csv").write_text(csv)
    (folder(tmp_path, "2026-09-02") / "a.csv.gz").write_bytes(gzip.compress(csv.encode()))
    line = json.dumps({"playerid": "bob", "realamount": 1.5, "gameid": 7, "surplus": [1]})
    (folder(tmp_path, "2026-09-03") / "a.jsonl").write_text(line + "\n" + line + "\n")
    duckdb.sql(
        "copy (select 'eve' as playerid, 2.5 as realamount) to "
        f"'{folder(tmp_path, '2026-09-04')}/a.parquet'"
    )
    assert rows(tmp_path) == [
        ("ann", "1,50", "007", "2026-09-01"),
        ("ann", "1,50", "007", "2026-09-02"),
        ("bob", "1.5", "7", "2026-09-03"),
        ("bob", "1.5", "7", "2026-09-03"),
        ("eve", "2.5", None, "2026-09-04"),
    ]


def test_columns_are_matched_by_name(tmp_path: Path) -> None:
    (folder(tmp_path, "2026-09-01") / "a.csv").write_text("playerid,gameid\nann,1\n")
    (folder(tmp_path, "2026-09-02") / "a.csv").write_text("gameid,playerid,x\n2,bob,y\n")
    assert [row[:3] for row in rows(tmp_path)] == [("ann", None, "1"), ("bob", None, "2")]


def test_a_source_without_files_is_an_empty_view_with_all_columns(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        create_views(DuckDB(connection), FolderLake(tmp_path), "spectrum", [BETS])
        shown = connection.execute("describe spectrum.game_transactions").fetchall()
        assert [row[0] for row in shown] == list(BETS.columns)
        assert connection.execute("from spectrum.game_transactions").fetchall() == []


def test_hidden_files_are_not_read(tmp_path: Path) -> None:
    below = folder(tmp_path, "2026-09-01")
    (below / "a.csv").write_text("playerid\nann\n")
    (below / "_b.csv").write_text("playerid\nghost\n")
    (below / ".c.csv").write_text("playerid\nghost\n")
    for hidden in ("_temporary", ".hidden"):
        (below / hidden).mkdir()
        (below / hidden / "d.csv").write_text("playerid\nghost\n")
    assert len(rows(tmp_path)) == 1


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path, "2026-09-01") / "a.parquet"
    path.write_bytes(b"PAR1 no parquet")
    with pytest.raises(UserError) as caught:
        rows(tmp_path)
    assert str(path) in str(caught.value)
    assert "replace or remove" in str(caught.value)


@pytest.mark.parametrize("name", ["ann's lake", "lake [1]", "lake *?"])
def test_a_path_may_contain_any_character(tmp_path: Path, name: str) -> None:
    (folder(tmp_path / name, "2026-09-01") / "a.csv").write_text("playerid\nann\n")
    assert len(rows(tmp_path / name)) == 1


def test_a_file_that_lands_after_the_views_are_made_is_not_read(tmp_path: Path) -> None:
    below = folder(tmp_path, "2026-09-01")
    (below / "a.csv").write_text("playerid\nann\n")
    with duckdb.connect() as connection:
        create_views(DuckDB(connection), FolderLake(tmp_path), "spectrum", [BETS])
        (below / "b.csv").write_text("playerid\nbob\n")
        count = connection.execute("select count(*) from spectrum.game_transactions").fetchall()
        assert count == [(1,)]
