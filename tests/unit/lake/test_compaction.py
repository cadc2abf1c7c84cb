"""A compaction merges and converts files. However it stops, no row is lost and none is twice."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.lake import compaction, files
from include.lake.compaction import check_ended, compact_source
from include.lake.external_tables.duckdb import create_views
from include.lake.sources import sources
from include.lake.storage.folder import FolderLake
from include.manifest import Manifest
from include.settings import UserError
from include.warehouse.duckdb_file import DuckDB

BETS = {"betid": "varchar(1024)", "realamount": "varchar(1024)", "date": "varchar(16)"}


def manifest() -> Manifest:
    columns = {name: {"data_type": kind} for name, kind in BETS.items()}
    source = {
        "name": "game_transactions",
        "config": {"meta": {"partition_columns": ["date"]}},
        "columns": columns,
    }
    return Manifest({"nodes": {}, "sources": {"source.p.l.game_transactions": source}})


class StoppedError(Exception):
    """Stops a compaction in the middle."""


class Stopping(FolderLake):
    """A lake that raises an error after so many writes, moves and removals."""

    def __init__(self, path: Path, left: int) -> None:
        super().__init__(path)
        self.left = left

    def _step(self) -> None:
        if not self.left:
            raise StoppedError
        self.left -= 1

    def write(self, path: str, content: bytes) -> None:
        self._step()
        super().write(path, content)

    def move(self, path: str, target: str) -> None:
        self._step()
        super().move(path, target)

    def remove(self, path: str) -> None:
        self._step()
        super().remove(path)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for day in ("2026-09-01", "2026-09-02"):
        folder = tmp_path / f"game_transactions/date={day}"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text(f"realamount,betid,note\n007.50,{day}-1,kept\n")
        (folder / "b.jsonl").write_text(json.dumps({"betid": f"{day}-2", "realamount": 1.50}))
        duckdb.sql(f"select '{day}-3' as betid, 2.5 as realamount").write_parquet(
            str(folder / "c.parquet")
        )
    return tmp_path


def rows(lake: Path) -> list[tuple[object, ...]]:
    files = sorted(str(path) for path in (lake / "game_transactions").rglob("*.*"))
    assert all(name.endswith(".parquet") for name in files), files
    return duckdb.sql(
        f"select betid, realamount from read_parquet({files}, union_by_name = true) order by 1"
    ).fetchall()


EXPECTED = [
    (f"{day}-{number}", amount)
    for day in ("2026-09-01", "2026-09-02")
    for number, amount in ((1, "007.50"), (2, "1.5"), (3, "2.5"))
]


def test_every_format_becomes_parquet_of_the_declared_types(lake: Path) -> None:
    compact_source(FolderLake(lake), manifest(), "game_transactions", None, None)
    assert rows(lake) == EXPECTED
    assert len(list((lake / "game_transactions").rglob("*.parquet"))) == 2
    kept = duckdb.sql(f"select note from '{lake}/game_transactions/*/*.parquet' where note > ''")
    assert kept.fetchall() == [("kept",), ("kept",)]
    before = {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")}
    compact_source(FolderLake(lake), manifest(), "game_transactions", None, None)
    assert {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")} == before


@pytest.mark.parametrize("steps", range(12))
def test_a_compaction_that_stops_anywhere_can_be_run_again(lake: Path, steps: int) -> None:
    with pytest.raises(StoppedError):
        compact_source(Stopping(lake, steps), manifest(), "game_transactions", None, None)
    try:
        check_ended(FolderLake(lake), sources(manifest()))
    except UserError:
        pass
    else:
        # A run may build now, so every row must be there once.
        with duckdb.connect() as connection:
            create_views(DuckDB(connection), FolderLake(lake), "spectrum", sources(manifest()))
            found = connection.execute("select betid from spectrum.game_transactions").fetchall()
        assert sorted(found) == [(betid,) for betid, _ in EXPECTED]
    compact_source(FolderLake(lake), manifest(), "game_transactions", None, None)
    assert rows(lake) == EXPECTED
    check_ended(FolderLake(lake), sources(manifest()))


def test_merged_files_are_kept_below_compacted(lake: Path) -> None:
    before = {path.relative_to(lake): path.read_bytes() for path in lake.rglob("?.*")}
    compact_source(FolderLake(lake), manifest(), "game_transactions", None, None)
    kept = {
        Path(*path.relative_to(lake / "_compacted").parts[1:]): path.read_bytes()
        for path in (lake / "_compacted").rglob("?.*")
    }
    assert kept == before
    assert len(kept) == 6


def test_later_files_with_the_names_of_merged_ones_are_merged(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (files, compaction):
        # With this limit the merged file is a large one, which is not merged again.
        monkeypatch.setattr(module, "SMALL_BYTES", 100)
    compact_source(FolderLake(lake), manifest(), "game_transactions", None, None)
    for number in range(2):
        day = lake / "game_transactions/date=2026-09-01"
        (day / "a.csv").write_text(f"realamount,betid\n1,later-{number}\n")
        compact_source(FolderLake(lake), manifest(), "game_transactions", None, None)
    assert rows(lake) == sorted([*EXPECTED, ("later-0", "1"), ("later-1", "1")])


def test_values_of_other_types_keep_their_meaning(tmp_path: Path) -> None:
    day = tmp_path / "game_transactions/date=2026-09-01"
    day.mkdir(parents=True)
    duckdb.sql(
        "select {'user_id': 'u', 'n': 1.5} as betid, encode('é') as realamount, 2.7 as n"
        " union all by name select null as betid, '\\xFF'::blob as realamount"
    ).write_parquet(str(day / "a.parquet"))
    compact_source(FolderLake(tmp_path), manifest(), "game_transactions", None, None)
    assert rows(tmp_path) == [('{"user_id":"u","n":1.5}', "é"), (None, "\\xFF")]


def test_a_file_that_cannot_be_read_is_named_and_nothing_changes(lake: Path) -> None:
    broken = lake / "game_transactions/date=2026-09-01/b.jsonl"
    broken.write_text("{no json")
    with pytest.raises(
        UserError, match=r"b\.jsonl, .*cannot be merged \(.*repair or move the named"
    ):
        compact_source(FolderLake(lake), manifest(), "game_transactions", None, None)
    assert broken.exists()
    assert not (lake / "_compacted").exists()


def test_only_the_requested_days_are_merged(lake: Path) -> None:
    day = date(2026, 9, 2)
    compact_source(FolderLake(lake), manifest(), "game_transactions", day, day)
    assert len(list((lake / "game_transactions/date=2026-09-01").iterdir())) == 3
    assert len(list((lake / "game_transactions/date=2026-09-02").iterdir())) == 1


def test_a_source_that_does_not_exist_is_refused(lake: Path) -> None:
    with pytest.raises(UserError, match="there is no source 'bets': name one of game_transactions"):
        compact_source(FolderLake(lake), manifest(), "bets", None, None)
