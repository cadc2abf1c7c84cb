"""Days whose files have expired keep the rows that were built from them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from tests.unit.lake.run_days.builds import (
    Years,
    event_file,
    event_folder,
    manifest,
    with_neighbours,
)


def test_a_changed_seed_keeps_the_rows_of_expired_days(tmp_path: Path) -> None:
    build = Years(tmp_path)
    # With neighbours, building a day reads two days before it. So the two days after the eleventh
    # would read files that have expired.
    changed = with_neighbours(manifest(seed="s2"))
    assert build.touched(changed) == build.days[13:]
    span = f"13 days from {build.days[0]} to {build.days[12]}"
    assert build.warnings[0].startswith(f"raw_events: the rows of {span} stay as they are, because")
    build.record(changed)
    assert build.touched(changed) == []
    # The expired days stay recorded as built.
    assert build.touched(manifest(seed="s3")) == build.days[11:]


def test_requested_days_that_have_expired_keep_their_rows(tmp_path: Path) -> None:
    build = Years(tmp_path)
    dates = (date.fromisoformat(build.days[0]), date.fromisoformat(build.days[14]))
    assert build.touched(dates=dates) == build.days[11:15]
    assert "11 days" in build.warnings[0]


def test_a_day_after_the_bound_does_not_expire(tmp_path: Path) -> None:
    build = Years(tmp_path)
    shutil.rmtree(event_folder(build.lake, build.days[-1]))
    assert build.touched(manifest(seed="s2"))[-1] == build.days[-1]
    # Without a bound no day expires.
    build.settings = replace(build.settings, late_days="")
    assert build.touched(manifest(seed="s2")) == build.days
    assert build.warnings == []


def test_a_day_with_merged_files_has_not_expired(tmp_path: Path) -> None:
    build = Years(tmp_path)
    folder = event_file(build.lake, build.days[15], "merged").parent
    (folder / "early.parquet").unlink()
    (folder / "late.parquet").unlink()
    assert build.touched(manifest(seed="s2")) == build.days[11:]
