"""The last step of a run records its days, so that the next run does not find them again."""

from __future__ import annotations

from datetime import date

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.compaction.compact import compact_source
from include.lake.storage.folder import FolderLake
from include.settings import UserError
from tests.unit.lake.run_days.builds import Build, event_file, manifest


def test_days_that_were_not_recorded_are_found_again(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    assert build.touched() == build.touched() == ["2026-09-01"]


def test_files_that_arrive_during_a_build_are_found_by_the_next_run(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    build.touched()
    event_file(build.lake, "2026-09-01", "meanwhile")
    event_file(build.lake, "2026-09-02")
    build.record()
    assert build.touched() == ["2026-09-01", "2026-09-02"]


def test_a_build_during_which_files_were_merged_is_not_recorded(build: Build) -> None:
    """On Redshift it may have read the rows of these files twice."""
    for name in ("a", "b"):
        event_file(build.lake, "2026-09-01", name)
    build.touched()
    compact_source(FolderLake(build.lake), manifest(), "raw_events", None, None)
    with pytest.raises(UserError, match="merged files during this build"):
        build.record()
    assert build.touched() == ["2026-09-01"]
    build.record()
    assert build.touched() == []


def test_a_run_of_requested_dates_records_these_days_only(build: Build) -> None:
    for day in ("2026-09-01", "2026-09-02", "2026-09-03"):
        event_file(build.lake, day)
    assert build.touched(dates=(date(2026, 9, 2), date(2026, 9, 9))) == ["2026-09-02", "2026-09-03"]
    build.record()
    assert build.touched() == ["2026-09-01"]


def test_a_run_does_not_record_the_days_of_another_run(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    build.touched(run_id="first")
    event_file(build.lake, "2026-09-02")
    build.touched(run_id="second")
    with pytest.raises(UserError, match=r"replaced by those of second: clear the task partitions"):
        build.record(run_id="first")
    assert build.touched(run_id="first") == ["2026-09-01", "2026-09-02"]
    build.record(run_id="first")
    assert build.touched(run_id="third") == []
