"""What the first and the last step of a build write to the warehouse."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.lake.run_days.checksums import logic_checksums
from include.lake.run_days.find import find_run_days
from include.lake.run_days.record import record_build
from include.manifest import Manifest
from include.settings import Settings, UserError
from include.warehouse.duckdb_file import DuckDB

TEXT = {"data_type": "varchar(64)"}


def source(name: str, *partition_columns: str) -> dict[str, Any]:
    columns = ["value", *partition_columns]
    return {
        "name": name,
        "config": {"meta": {"partition_columns": list(partition_columns)}},
        "columns": dict.fromkeys(columns, TEXT),
    }


def node(kind: str, checksum: str, *parents: str, **config: Any) -> dict[str, Any]:
    return {
        "resource_type": kind,
        "package_name": "p",
        "checksum": {"checksum": checksum},
        "depends_on": {"nodes": list(parents), "macros": ["macro.p.rule"]},
        "config": {"materialized": "view", **config},
    }


def manifest(seed: str = "s1", view: str = "v1", model: str = "m1", macro: str = "1") -> Manifest:
    """Events and their days; an incremental model that reads them through a view and a seed."""
    replaced = {"column": "day", "sources": ["raw_events"], "before": 0, "after": 0}
    return Manifest(
        {
            "sources": {
                "source.p.e.raw_events": source("raw_events", "year", "month", "day"),
                "source.p.l.game_transactions": source("game_transactions", "date"),
                "source.p.l.games": source("games"),
            },
            "macros": {
                "macro.p.rule": {
                    "package_name": "p",
                    "macro_sql": macro,
                    "depends_on": {"macros": []},
                }
            },
            "nodes": {
                "seed.p.types": node("seed", seed, materialized="seed"),
                "model.p.stg": node("model", view, "source.p.e.raw_events"),
                "model.p.int_events": node(
                    "model",
                    model,
                    "model.p.stg",
                    "seed.p.types",
                    materialized="incremental",
                    meta={"replaced_days": replaced},
                ),
            },
        }
    )


def with_neighbours(of: Manifest) -> Manifest:
    """The same, where a touched day replaces the one before it and the one after it."""
    of.nodes["model.p.int_events"]["config"]["meta"]["replaced_days"].update(before=1, after=1)
    return of


def event_folder(lake: Path, day: str) -> Path:
    year, month, of_month = day.split("-")
    return lake / f"raw_events/year={year}/month={month}/day={of_month}"


def event_file(lake: Path, day: str, name: str = "a", rows: int = 1) -> Path:
    path = event_folder(lake, day) / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"copy (select 'x' as value from range({rows})) to '{path}' (format parquet)")
    return path


class Build:
    """A lake and a warehouse, and the two steps around a build."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.lake = folder / "lake"
        self.settings = Settings(lake=str(self.lake), **settings)
        self.connection = duckdb.connect()

    def touched(
        self,
        of: Manifest | None = None,
        asked: tuple[date, date] | None = None,
        run_id: str = "",
        *,
        full_refresh: bool = False,
    ) -> list[str]:
        found = find_run_days(
            DuckDB(self.connection),
            self.settings,
            of or manifest(),
            asked,
            run_id,
            full_refresh=full_refresh,
        )
        self.warnings = found.warnings
        written = self.connection.execute(
            "select day from operations.run_days where source = 'raw_events' order by 1"
        ).fetchall()
        assert [day for (day,) in written] == found.days["raw_events"]
        return found.days["raw_events"]

    def record(
        self, of: Manifest | None = None, *, full_refresh: bool = False, run_id: str = ""
    ) -> int:
        return record_build(
            DuckDB(self.connection),
            self.settings,
            of or manifest(),
            full_refresh=full_refresh,
            run_id=run_id,
        )


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    build = Build(tmp_path)
    yield build
    build.connection.close()


def test_only_what_changed_since_the_last_build_is_touched(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    second = event_file(build.lake, "2026-09-02")
    assert build.touched() == ["2026-09-01", "2026-09-02"]
    build.record()
    assert build.touched() == []
    event_file(build.lake, "2026-09-02", "late")
    event_file(build.lake, "2026-09-03")
    assert build.touched() == ["2026-09-02", "2026-09-03"]
    build.record()
    # The same number of files and bytes, but another change.
    os.utime(second, (2_000_000_000, 2_000_000_000))
    assert build.touched() == ["2026-09-02"]


def test_a_build_that_is_not_recorded_is_found_again(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    assert build.touched() == build.touched() == ["2026-09-01"]


def test_a_day_that_became_empty_is_touched(build: Build) -> None:
    path = event_file(build.lake, "2026-09-01")
    build.touched()
    build.record()
    path.unlink()
    assert build.touched() == ["2026-09-01"]
    build.record()
    assert build.touched() == []


def test_what_arrives_during_a_build_is_found_by_the_next(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    build.touched()
    event_file(build.lake, "2026-09-01", "meanwhile")
    event_file(build.lake, "2026-09-02")
    build.record()
    assert build.touched() == ["2026-09-01", "2026-09-02"]


def test_days_that_are_asked_for_and_no_others_are_recorded(build: Build) -> None:
    for day in ("2026-09-01", "2026-09-02", "2026-09-03"):
        event_file(build.lake, day)
    assert build.touched(asked=(date(2026, 9, 2), date(2026, 9, 9))) == ["2026-09-02", "2026-09-03"]
    build.record()
    assert build.touched() == ["2026-09-01"]


def test_days_that_were_asked_for_and_failed_are_found_again(build: Build) -> None:
    for day in ("2026-09-01", "2026-09-02"):
        event_file(build.lake, day)
    build.touched()
    build.record()
    assert build.touched(asked=(date(2026, 9, 2), date(2026, 9, 2))) == ["2026-09-02"]
    assert build.touched() == ["2026-09-02"]
    build.record()
    assert build.touched() == []


def test_a_bound_on_late_days(tmp_path: Path) -> None:
    build = Build(tmp_path, late_days="10")
    today = datetime.now(UTC).date()
    recent, old = (str(today - timedelta(days=days)) for days in (3, 20))
    forgotten = event_file(build.lake, old)
    event_file(build.lake, recent)
    # Nothing was built, so nothing is late.
    assert build.touched() == [old, recent]
    build.record()
    forgotten.unlink()
    assert build.touched() == []


def test_a_pause_that_is_longer_than_late_days_loses_nothing(tmp_path: Path) -> None:
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
    # A run of one day does not tell that those before it were built.
    build.touched(asked=(now.date(), now.date()))
    build.record()
    assert build.touched() == [in_the_pause]
    build.record()
    assert build.touched() == []
    assert today == str(now.date())


def test_a_changed_seed_touches_every_day_once(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    build.touched()
    build.record()
    assert build.touched(manifest(seed="s2")) == ["2026-09-01"]
    build.record(manifest(seed="s2"))
    assert build.touched(manifest(seed="s2")) == []


def test_a_changed_seed_waits_for_a_run_of_all_its_days(tmp_path: Path) -> None:
    build = Build(tmp_path, late_days="10")
    for day in ("2026-09-01", "2026-09-02"):
        event_file(build.lake, day)
    build.touched(asked=(date(2026, 9, 1), date(2026, 9, 2)))
    build.record()
    changed = manifest(seed="s2")
    asked = (date(2026, 9, 2), date(2026, 9, 2))
    assert build.touched(changed, asked) == ["2026-09-02"]
    build.record(changed)
    # Also days before the bound on late days.
    assert build.touched(changed) == ["2026-09-01", "2026-09-02"]


class Years(Build):
    """A lake built on thirty days, of which the first ten have expired, and the next one half."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, late_days="3")
        first = datetime.now(UTC).date() - timedelta(days=30)
        self.days = [str(first + timedelta(days=number)) for number in range(30)]
        for day in self.days:
            early = event_file(self.lake, day, "early")
            os.utime(early, (1_700_000_000, 1_700_000_000))
            event_file(self.lake, day, "late")
        assert self.touched() == self.days
        self.record()
        for day in self.days[:10]:
            shutil.rmtree(event_folder(self.lake, day))
        (event_folder(self.lake, self.days[10]) / "early.parquet").unlink()


def test_a_changed_seed_keeps_what_was_made_of_days_that_expired(tmp_path: Path) -> None:
    build = Years(tmp_path)
    # The last of the days that are left of the lake reach two days into those that are gone.
    changed = with_neighbours(manifest(seed="s2"))
    assert build.touched(changed) == build.days[13:]
    span = f"13 days from {build.days[0]} to {build.days[12]}"
    assert build.warnings[0].startswith(f"raw_events: the rows of {span} stay as they were built")
    build.record(changed)
    assert build.touched(changed) == []
    # They are still known to have been built.
    assert build.touched(manifest(seed="s3")) == build.days[11:]


def test_days_that_are_asked_for_and_expired_stay(tmp_path: Path) -> None:
    build = Years(tmp_path)
    asked = (date.fromisoformat(build.days[0]), date.fromisoformat(build.days[14]))
    assert build.touched(asked=asked) == build.days[11:15]
    assert "11 days" in build.warnings[0]


def test_a_day_that_goes_within_the_late_days_was_taken_back(tmp_path: Path) -> None:
    build = Years(tmp_path)
    shutil.rmtree(event_folder(build.lake, build.days[-1]))
    assert build.touched(manifest(seed="s2"))[-1] == build.days[-1]
    # With no bound the marts hold what the lake holds.
    build.settings = replace(build.settings, late_days="")
    assert build.touched(manifest(seed="s2")) == build.days
    assert build.warnings == []


def test_files_that_were_merged_have_not_expired(tmp_path: Path) -> None:
    build = Years(tmp_path)
    folder = event_file(build.lake, build.days[15], "merged").parent
    (folder / "early.parquet").unlink()
    (folder / "late.parquet").unlink()
    assert build.touched(manifest(seed="s2")) == build.days[11:]


def test_a_full_refresh_looks_at_the_whole_lake(tmp_path: Path) -> None:
    build = Years(tmp_path)
    event_file(build.lake, build.days[20], "after the bound")
    assert build.touched() == []
    assert build.touched(full_refresh=True) == [build.days[20]]


def test_a_run_does_not_record_the_days_of_another(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    build.touched(run_id="first")
    event_file(build.lake, "2026-09-02")
    build.touched(run_id="second")
    with pytest.raises(UserError, match=r"replaced by those of second: clear the task partitions"):
        build.record(run_id="first")
    assert build.touched(run_id="first") == ["2026-09-01", "2026-09-02"]
    build.record(run_id="first")
    assert build.touched(run_id="third") == []


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


@pytest.mark.parametrize("change", [{"model": "m2"}, {"view": "v2"}, {"macro": "2"}])
def test_changed_sql_is_reported_until_a_full_refresh(build: Build, change: dict[str, str]) -> None:
    event_file(build.lake, "2026-09-01")
    build.touched()
    build.record()
    changed = manifest(**change)
    assert build.touched(changed) == []
    assert "int_events changed" in build.warnings[0]
    # On MWAA and on the state machine nobody can run `make build`.
    for way in ("`full_refresh` in the form", '{"full_refresh": true}', "--full-refresh"):
        assert way in build.warnings[0]
    build.record(changed)
    build.touched(changed)
    assert build.warnings
    build.record(changed, full_refresh=True)
    build.touched(changed)
    assert build.warnings == []


def test_another_reporting_currency_is_reported_as_changed_sql(build: Build) -> None:
    build.touched()
    build.record()
    build.settings = replace(build.settings, reporting_currency="EUR")
    build.touched()
    assert "int_events changed" in build.warnings[0]


def test_a_node_that_is_gone_is_forgotten(build: Build) -> None:
    build.touched()
    build.record()
    without = Manifest({**manifest().content, "nodes": {}})
    build.record(without)
    left = build.connection.execute("select count(*) from operations.built_logic").fetchall()
    assert left == [(0,)]
    assert logic_checksums(without, build.settings) == {}


def test_a_damaged_file_of_a_touched_day_is_named(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    damaged = event_file(build.lake, "2026-09-02", rows=1000)
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(UserError) as caught:
        build.touched()
    assert str(damaged) in str(caught.value)
    assert "replace it or move it out" in str(caught.value)


def test_the_prefix_is_in_every_schema(tmp_path: Path) -> None:
    build = Build(tmp_path, schema_prefix="ann_")
    find_run_days(DuckDB(build.connection), build.settings, manifest())
    schemas = build.connection.execute(
        "select distinct table_schema from information_schema.tables order by 1"
    ).fetchall()
    assert schemas == [("ann_operations",), ("ann_spectrum",)]


def test_a_compaction_that_was_stopped_is_ended_first(build: Build) -> None:
    event_file(build.lake, "2026-09-01")
    journal = build.lake / "_compaction" / "raw_events.json"
    journal.parent.mkdir()
    merged = build.lake / "raw_events/year=2026/month=09/day=01/merged-1.parquet"
    journal.write_text(json.dumps({"merged": str(merged), "moves": {"a": "b"}}))
    # Nothing is there twice yet.
    assert build.touched() == ["2026-09-01"]
    merged.write_bytes(b"x")
    with pytest.raises(UserError, match="twice: `make compact SOURCE=raw_events` ends it"):
        build.touched()
