"""The first step of a run finds the days that changed since the last build, and no others."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.compaction.journal import Journal, Move, journal_path, lock_path
from include.lake.run_days import find
from include.lake.run_days.find import find_run_days
from include.lake.storage.file_lock import file_lock
from include.settings import UserError
from include.warehouse.duckdb_file import DuckDB
from tests.unit.lake.run_days.builds import Build, Years, event_file, manifest


def test_only_days_that_changed_since_the_last_build_are_touched(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    second = event_file(build.lake, "2026-09-02")
    assert build.touched() == ["2026-09-01", "2026-09-02"]
    build.record()
    assert build.touched() == []
    event_file(build.lake, "2026-09-02", "late")
    event_file(build.lake, "2026-09-03")
    assert build.touched() == ["2026-09-02", "2026-09-03"]
    build.record()
    # The number of files and their bytes stay, and only the time of change is another.
    os.utime(second, (2_000_000_000, 2_000_000_000))
    assert build.touched() == ["2026-09-02"]


def test_a_day_that_became_empty_is_touched(build: Build) -> None:
    path = event_file(build.lake, "2026-09-01")
    event_file(build.lake, "2026-09-02")
    build.touched()
    build.record()
    path.unlink()
    assert build.touched() == ["2026-09-01"]
    build.record()
    assert build.touched() == []


def test_a_corrected_file_of_the_same_size_and_an_older_time_is_seen(build: Build) -> None:
    for name, changed in (("a", 1_780_000_000), ("b", 1_790_000_000)):
        os.utime(event_file(build.lake, "2026-09-01", name), (changed, changed))
    build.touched()
    build.record()
    # The newest change of the day stays, and so do the number of files and their bytes.
    os.utime(event_file(build.lake, "2026-09-01", "a"), (1_770_000_000, 1_770_000_000))
    assert build.touched() == ["2026-09-01"]
    build.record()
    assert build.touched() == []


def test_a_change_within_a_microsecond_is_seen(build: Build) -> None:
    path = event_file(build.lake, "2026-09-01")
    os.utime(path, ns=(1_780_000_000_000_000_001, 1_780_000_000_000_000_001))
    build.touched()
    build.record()
    os.utime(path, ns=(1_780_000_000_000_000_002, 1_780_000_000_000_000_002))
    assert build.touched() == ["2026-09-01"]


def test_a_renamed_file_is_seen(build: Build) -> None:
    path = event_file(build.lake, "2026-09-01")
    build.touched()
    build.record()
    path.rename(path.with_name("b.parquet"))
    assert build.touched() == ["2026-09-01"]


def test_a_late_file_that_is_removed_after_a_failed_run_is_built_again(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    build.touched()
    build.record()
    late = event_file(build.lake, "2026-09-01", "late")
    os.utime(late, (1_780_000_000, 1_780_000_000))
    assert build.touched() == ["2026-09-01"]
    # The run has built the late file's rows and has failed, so it records nothing.
    late.unlink()
    assert build.touched() == ["2026-09-01"]
    build.record()
    assert build.touched() == []


def test_a_day_whose_files_are_removed_after_a_failed_run_is_built_again(tmp_path: Path) -> None:
    build = Build(tmp_path, late_days="3")
    today = datetime.now(UTC).date()
    event_file(build.lake, str(today))
    build.touched()
    build.record()
    new, old = (str(today - timedelta(days=days)) for days in (1, 20))
    files = [event_file(build.lake, day) for day in (new, old)]
    assert build.touched(full_refresh=True) == [old, new]
    for path in files:
        path.unlink()
    # Neither a run of other days nor the bound of the listing makes the days be forgotten.
    assert build.touched(dates=(today, today)) == [str(today)]
    build.record()
    assert build.touched() == [old, new]
    build.record()
    assert build.touched() == []


def test_requested_days_that_were_not_recorded_are_found_again(build: Build) -> None:
    for day in ("2026-09-01", "2026-09-02"):
        event_file(build.lake, day)
    build.touched()
    build.record()
    assert build.touched(dates=(date(2026, 9, 2), date(2026, 9, 2))) == ["2026-09-02"]
    assert build.touched() == ["2026-09-02"]
    build.record()
    assert build.touched() == []


def test_days_before_the_bound_are_not_listed(tmp_path: Path) -> None:
    build = Build(tmp_path, late_days="10")
    today = datetime.now(UTC).date()
    recent, old = (str(today - timedelta(days=days)) for days in (3, 20))
    forgotten = event_file(build.lake, old)
    event_file(build.lake, recent)
    # Before the first build there is no bound.
    assert build.touched() == [old, recent]
    build.record()
    forgotten.unlink()
    assert build.touched() == []


def test_a_pause_that_is_longer_than_late_days_loses_no_day(tmp_path: Path) -> None:
    build = Build(tmp_path, late_days="3")
    now = datetime.now(UTC)

    def arrive(days_ago: int) -> str:
        at = now - timedelta(days=days_ago)
        path = event_file(build.lake, str(at.date()))
        os.utime(path, (at.timestamp(), at.timestamp()))
        return str(at.date())

    arrive(40)
    build.touched()
    build.record()
    in_the_pause, today = arrive(20), arrive(0)
    # A run of one requested day must not move the bound past the days before it.
    build.touched(dates=(now.date(), now.date()))
    build.record()
    assert build.touched() == [in_the_pause]
    build.record()
    assert build.touched() == []
    assert today == str(now.date())


def test_a_full_refresh_lists_the_whole_lake(tmp_path: Path) -> None:
    build = Years(tmp_path)
    event_file(build.lake, build.days[20], "very late")
    assert build.touched() == []
    assert build.touched(full_refresh=True) == [build.days[20]]


def test_fingerprints_do_not_depend_on_the_time_zone(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        event_file(build.lake, "2026-09-01")
        build.touched()
        build.record()
        assert build.touched() == []
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_damaged_file_of_a_touched_day_is_named(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    damaged = event_file(build.lake, "2026-09-02", rows=1000)
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(UserError) as caught:
        build.touched()
    assert str(damaged) in str(caught.value)
    assert "replace it or move it out" in str(caught.value)


def test_a_warehouse_of_an_earlier_version_gets_fingerprints(build: Build) -> None:
    for day in ("2026-09-01", "2026-09-02"):
        event_file(build.lake, day)
    build.touched()
    build.record()
    for table in ("listed_partitions", "built_partitions"):
        build.connection.execute(f"alter table operations.{table} drop column fingerprint")
    for table in ("begun_days", "listed_sources", "built_sources"):
        build.connection.execute(f"drop table operations.{table}")
    # Partitions without a fingerprint count as unchanged if all else is equal.
    event_file(build.lake, "2026-09-02", "late")
    assert build.touched() == ["2026-09-02"]
    build.record()
    rows = build.connection.execute(
        "select count(*), count(fingerprint) from operations.built_partitions"
    ).fetchall()
    assert rows == [(2, 2)]
    path = event_file(build.lake, "2026-09-01")
    os.utime(path, (1_770_000_000, 1_770_000_000))
    assert build.touched() == ["2026-09-01"]


def test_every_schema_has_the_prefix(tmp_path: Path) -> None:
    build = Build(tmp_path, schema_prefix="ann_")
    find_run_days(DuckDB(build.connection), build.settings, manifest())
    schemas = build.connection.execute(
        "select distinct table_schema from information_schema.tables order by 1"
    ).fetchall()
    assert schemas == [("ann_operations",), ("ann_spectrum",)]


def test_no_run_starts_while_a_compaction_is_not_ended(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    day = build.lake / "raw_events/year=2026/month=09/day=01"
    (original,) = day.iterdir()
    path = str(original.relative_to(build.lake))
    merged = f"{day.relative_to(build.lake)}/merged-1.parquet"
    journal = Journal("raw_events", "1", merged, (Move(path, f"_compacted/1/{path}", "v"),))
    stopped = build.lake / journal_path("raw_events")
    stopped.parent.mkdir()
    stopped.write_bytes(journal.to_json())
    # The merged file does not exist yet, so no row is in the lake twice.
    assert build.touched() == ["2026-09-01"]
    (build.lake / merged).write_bytes(b"x")
    with pytest.raises(UserError, match="twice: `make compact SOURCE=raw_events` ends it"):
        build.touched()
    # If somebody removed the merged file, the rows of the moved files are missing.
    (build.lake / merged).unlink()
    original.rename(build.lake / "moved")
    with pytest.raises(UserError, match="twice: `make compact SOURCE=raw_events` ends it"):
        build.touched()


def test_no_run_starts_while_a_compaction_is_running(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_file(build.lake, "2026-09-01")
    lock = build.lake / lock_path("raw_events")
    lock.parent.mkdir()
    with file_lock(lock, wait=False), pytest.raises(UserError, match="raw_events is running"):
        build.touched()
    with contextlib.ExitStack() as stack:
        create = find._create_external_tables

        def begin(*arguments: Any) -> list[str]:
            stack.enter_context(file_lock(lock, wait=False))
            return create(*arguments)

        monkeypatch.setattr(find, "_create_external_tables", begin)
        with pytest.raises(UserError, match="raw_events is running"):
            build.touched()
