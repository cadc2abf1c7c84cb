"""The footer of an event file is read once, and files of different schemas are read correctly."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import IO

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.lake.storage.folder import FolderLake
from include.lake.storage.lake import DataFile
from include.settings import UserError
from tests.unit.lake.run_days.builds import Build, event_file, event_folder, manifest

DAYS = ("2026-09-01", "2026-09-02", "2026-09-03")
ALL = (date(2026, 9, 1), date(2026, 9, 3))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The event files whose footers were read, as day of the month and name."""
    found: list[str] = []
    footer = FolderLake.footer

    def read(lake: FolderLake, file: DataFile) -> IO[bytes]:
        found.append(f"{file.folders[-1].removeprefix('day=')}/{file.name}")
        return footer(lake, file)

    monkeypatch.setattr(FolderLake, "footer", read)
    return found


def write(lake: Path, day: str, name: str, query: str) -> Path:
    """Write an event file with the rows of a query."""
    path = event_folder(lake, day) / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"copy ({query}) to '{path}' (format parquet)")
    return path


def values(build: Build) -> list[str | None]:
    found = build.connection.execute("select value from spectrum.raw_events order by all")
    return [value for (value,) in found.fetchall()]


def test_a_file_is_read_again_only_if_a_file_of_its_day_has_changed(
    build: Build, opened: list[str]
) -> None:
    for day in DAYS:
        event_file(build.lake, day, "a", rows=2)
    assert build.touched() == list(DAYS)
    assert sorted(opened) == ["01/a.parquet", "02/a.parquet", "03/a.parquet"]
    opened.clear()
    # The run has failed, so that the next one finds the same days.
    assert build.touched() == list(DAYS)
    build.record()
    # A requested day and a changed seed build days whose files have not changed.
    assert build.touched(dates=ALL) == list(DAYS)
    build.record()
    assert build.touched(manifest(seed="s2")) == list(DAYS)
    build.record(manifest(seed="s2"))
    assert opened == []
    event_file(build.lake, DAYS[1], "b", rows=3)
    assert build.touched(manifest(seed="s2")) == [DAYS[1]]
    assert sorted(opened) == ["02/a.parquet", "02/b.parquet"]
    counted = build.connection.execute("select day, row_count from operations.run_days").fetchall()
    assert counted == [(DAYS[1], 5)]
    assert len(values(build)) == 9


def test_the_counts_of_a_day_that_is_gone_are_forgotten(build: Build) -> None:
    path = event_file(build.lake, DAYS[0])
    event_file(build.lake, DAYS[1])
    build.touched()
    build.record()
    path.unlink()
    event_file(build.lake, DAYS[1], "b")
    build.touched()
    kept = build.connection.execute("select day, row_count from operations.checked_days").fetchall()
    assert kept == [(DAYS[1], 2)]
    assert build.connection.execute(
        "select day, row_count from operations.run_days order by day"
    ).fetchall() == [(DAYS[0], 0), (DAYS[1], 2)]


def test_a_checked_file_that_is_replaced_by_a_damaged_one_is_named(build: Build) -> None:
    path = event_file(build.lake, DAYS[0])
    build.touched()
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(UserError, match=rf"{path} is no readable Parquet file"):
        build.touched()


def test_files_are_checked_again_for_other_declared_columns(
    build: Build, opened: list[str]
) -> None:
    event_file(build.lake, DAYS[0])
    build.touched()
    opened.clear()
    changed = manifest()
    changed.content["sources"]["source.p.e.raw_events"]["columns"]["other"] = {
        "data_type": "varchar(64)"
    }
    build.touched(changed)
    assert opened == ["01/a.parquet"]


def test_days_of_other_schemas_and_days_of_several_schemas_are_read(build: Build) -> None:
    write(build.lake, DAYS[0], "text", "select 'a' as value")
    # The columns are in another order, and one of them is not declared.
    write(build.lake, DAYS[1], "wide", "select 1 as surplus, 'b' as value")
    write(build.lake, DAYS[1], "wide2", "select 2 as surplus, 'c' as value")
    write(build.lake, DAYS[2], "number", "select 7 as value")
    write(build.lake, DAYS[2], "none", "select 3 as surplus")
    write(build.lake, DAYS[2], "struct", "select 'd' as value, {'k': 1} as surplus2")
    build.touched()
    assert values(build) == ["7", "a", "b", "c", "d", None]
    # The second run reads no footer and makes the same view.
    build.touched()
    assert values(build) == ["7", "a", "b", "c", "d", None]
    named = build.connection.execute(
        "select day, file_schema <> '' from operations.checked_days order by day"
    ).fetchall()
    assert named == [(DAYS[0], True), (DAYS[1], True), (DAYS[2], False)]


def test_each_query_opens_only_the_files_of_its_days(build: Build) -> None:
    for day in DAYS:
        event_file(build.lake, day)
    build.touched()
    # DuckDB would find the damage if it opened this file.
    (event_folder(build.lake, DAYS[2]) / "a.parquet").write_bytes(b"damaged")
    rows = build.connection.execute(
        "select value from spectrum.raw_events where day = '02'"
    ).fetchall()
    assert rows == [("x",)]
