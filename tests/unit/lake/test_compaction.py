"""Merging and converting the files of a source: no row lost, none twice, whenever it stops."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.lake.compaction import compact_source
from include.lake.storage import Folder
from include.manifest import Manifest
from include.settings import UserError

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
    """What ends a compaction in the middle."""


class Stopping(Folder):
    """A lake that takes so many writes and removals, and then no more."""

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

    def remove(self, paths: Sequence[str]) -> None:
        for path in paths:
            self._step()
            super().remove([path])


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
    compact_source(Folder(lake), manifest(), "game_transactions", None, None)
    assert rows(lake) == EXPECTED
    assert len(list((lake / "game_transactions").rglob("*.parquet"))) == 2
    kept = duckdb.sql(f"select note from '{lake}/game_transactions/*/*.parquet' where note > ''")
    assert kept.fetchall() == [("kept",), ("kept",)]
    before = {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")}
    compact_source(Folder(lake), manifest(), "game_transactions", None, None)
    assert {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")} == before


@pytest.mark.parametrize("steps", range(12))
def test_stopped_anywhere_and_run_again(lake: Path, steps: int) -> None:
    with pytest.raises(StoppedError):
        compact_source(Stopping(lake, steps), manifest(), "game_transactions", None, None)
    compact_source(Folder(lake), manifest(), "game_transactions", None, None)
    assert rows(lake) == EXPECTED


def test_only_the_days_that_are_asked_for(lake: Path) -> None:
    day = date(2026, 9, 2)
    compact_source(Folder(lake), manifest(), "game_transactions", day, day)
    assert len(list((lake / "game_transactions/date=2026-09-01").iterdir())) == 3
    assert len(list((lake / "game_transactions/date=2026-09-02").iterdir())) == 1


def test_a_source_that_is_not_there(lake: Path) -> None:
    with pytest.raises(UserError, match="there is no source 'bets': give one of game_transactions"):
        compact_source(Folder(lake), manifest(), "bets", None, None)
