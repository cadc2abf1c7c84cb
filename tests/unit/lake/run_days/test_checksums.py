"""Changed seeds and changed SQL are found by their checksums."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.run_days.checksums import logic_checksums
from include.manifest import Manifest
from tests.unit.lake.run_days.builds import (
    Build,
    event_file,
    manifest,
)


def test_a_changed_seed_touches_every_day_until_it_is_recorded(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    build.touched()
    build.record()
    assert build.touched(manifest(seed="s2")) == ["2026-09-01"]
    build.record(manifest(seed="s2"))
    assert build.touched(manifest(seed="s2")) == []


def test_a_changed_seed_is_recorded_by_a_run_of_all_touched_days_only(tmp_path: Path) -> None:
    build = Build(tmp_path, late_days="10")
    for day in ("2026-09-01", "2026-09-02"):
        event_file(build.lake, day)
    build.touched(dates=(date(2026, 9, 1), date(2026, 9, 2)))
    build.record()
    changed = manifest(seed="s2")
    dates = (date(2026, 9, 2), date(2026, 9, 2))
    assert build.touched(changed, dates) == ["2026-09-02"]
    build.record(changed)
    # Days before the bound are touched as well.
    assert build.touched(changed) == ["2026-09-01", "2026-09-02"]


@pytest.mark.parametrize("change", [{"model": "m2"}, {"view": "v2"}, {"macro": "2"}])
def test_changed_sql_is_reported_until_a_full_refresh(build: Build, change: dict[str, str]) -> None:
    event_file(build.lake, "2026-09-01")
    build.touched()
    build.record()
    changed = manifest(**change)
    assert build.touched(changed) == []
    assert "int_events changed" in build.warnings[0]
    # A user of MWAA or the state machine cannot run `make build`, so all three ways are named.
    for way in ("`full_refresh` in the form", '{"full_refresh": true}', "--full-refresh"):
        assert way in build.warnings[0]
    build.record(changed)
    build.touched(changed)
    assert build.warnings
    build.record(changed, full_refresh=True)
    build.touched(changed)
    assert build.warnings == []


def test_a_changed_reporting_currency_is_reported_as_changed_sql(build: Build) -> None:
    build.touched()
    build.record()
    build.settings = replace(build.settings, reporting_currency="EUR")
    build.touched()
    assert "int_events changed" in build.warnings[0]


def test_the_checksum_of_a_removed_node_is_removed(build: Build) -> None:
    build.touched()
    build.record()
    without = Manifest({**manifest().content, "nodes": {}})
    build.record(without)
    left = build.connection.execute("select count(*) from operations.built_logic").fetchall()
    assert left == [(0,)]
    assert logic_checksums(without, build.settings) == {}
