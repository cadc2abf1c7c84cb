"""A source that lost its files, most of its days or most of its keys stops the first step."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.run_days import find
from include.lake.run_days.find import find_run_days
from include.lake.run_days.lost_rows import count_keys
from include.settings import Settings, UserError
from include.warehouse.duckdb_file import DuckDB
from tests.unit.lake.run_days.builds import Build, event_file, event_folder, manifest


def games(build: Build, *values: str, name: str = "g") -> Path:
    path = build.lake / f"games/{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{value}\n" for value in ("value", *values)))
    return path


def built(build: Build, *days: str) -> None:
    """Build these days of events and four games, and record them."""
    for day in days:
        event_file(build.lake, day)
    games(build, "1", "2", "3", "4")
    build.touched()
    build.record()


def allow(build: Build) -> None:
    find_run_days(
        DuckDB(build.connection), build.settings, manifest(), allow_lost_rows=True, run_id=""
    )
    build.record()


def test_a_source_that_lost_all_its_files_stops_the_run_until_it_is_allowed(build: Build) -> None:
    built(build, "2026-09-01")
    path = games(build)
    path.unlink()
    event_file(build.lake, "2026-09-02")
    for full_refresh in (False, True):
        with pytest.raises(UserError) as caught:
            build.touched(full_refresh=full_refresh)
        for text in (
            "games had 1 file and has 0",
            "put the files back",
            "`allow_lost_rows` in the form",
            '{"allow_lost_rows": true}',
            "GAME_ANALYTICS_ALLOW_LOST_ROWS=1 make build",
        ):
            assert text in str(caught.value)
    # The run that was stopped has written no day.
    assert build.connection.execute("select day from operations.run_days").fetchall() == [
        ("2026-09-01",)
    ]
    allow(build)
    assert build.touched() == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_source_may_lose_half_of_its_keys_and_no_more(build: Build, count: int) -> None:
    built(build)
    # Empty keys and repeated ones do not count, and a second file does.
    games(build, *["1", "1", "1", "1", '""'][: 5 if count else 0])
    games(build, *["2"][: count - 1 if count else 0], name="h")
    if count == 2:
        assert build.touched() == []
        return
    with pytest.raises(UserError, match=f"games had 4 keys and has {count}. Nothing was built"):
        build.touched()
    allow(build)
    assert build.touched() == []
    # The new count was recorded.
    games(build, *"123")
    build.touched()
    build.record()
    games(build, "1")
    with pytest.raises(UserError, match="games had 3 keys and has 1"):
        build.touched()


def test_the_setting_allows_the_loss(build: Build) -> None:
    built(build, "2026-09-01")
    shutil.rmtree(build.lake / "games")
    build.settings = Settings(lake=str(build.lake), allow_lost_rows="1")
    assert build.touched() == []


def test_a_lake_without_files_names_every_source(build: Build) -> None:
    built(build, "2026-09-01", "2026-09-02")
    shutil.rmtree(build.lake)
    build.lake.mkdir()
    with pytest.raises(UserError, match="games had 1 file and has 0; raw_events had 2 files and"):
        build.touched()


def test_a_source_may_lose_half_of_its_days_and_no_more(build: Build) -> None:
    days = [f"2026-09-0{number}" for number in range(1, 5)]
    built(build, *days)
    for day in days[:2]:
        shutil.rmtree(event_folder(build.lake, day))
    assert build.touched() == days[:2]
    shutil.rmtree(event_folder(build.lake, days[2]))
    with pytest.raises(UserError, match="raw_events had 4 days and has 1"):
        build.touched()
    allow(build)
    assert build.touched() == []


def test_expired_days_are_not_lost(tmp_path: Path) -> None:
    build = Build(tmp_path, late_days="3")
    today = datetime.now(UTC).date()
    days = [str(today - timedelta(days=number)) for number in (20, 19, 18, 0)]
    built(build, *days)
    for day in days[:3]:
        shutil.rmtree(event_folder(build.lake, day))
    assert build.touched() == build.touched(full_refresh=True) == []
    shutil.rmtree(event_folder(build.lake, days[3]))
    with pytest.raises(UserError, match="raw_events had 1 file and has 0"):
        build.touched()
    allow(build)
    assert build.touched() == []


def test_a_source_without_files_since_the_bound_is_not_lost(tmp_path: Path) -> None:
    build = Build(tmp_path, late_days="3")
    today = datetime.now(UTC).date()
    old = event_file(build.lake, str(today - timedelta(days=20)))
    os.utime(old, (1_780_000_000, 1_780_000_000))
    built(build)
    assert build.touched() == []


def test_a_source_that_can_be_empty_may_lose_its_files(build: Build) -> None:
    built(build, "2026-09-01")
    shutil.rmtree(event_folder(build.lake, "2026-09-01"))
    project = manifest()
    project.content["sources"]["source.p.e.raw_events"]["config"]["meta"]["can_be_empty"] = True
    assert build.touched(project) == ["2026-09-01"]


def test_a_file_without_rows_may_be_removed(build: Build) -> None:
    path = games(build)
    build.touched()
    build.record()
    path.unlink()
    assert build.touched() == []


def test_the_keys_of_unchanged_files_are_not_counted_again(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(build)
    counted: list[set[str]] = []

    def count(*given: Any) -> dict[str, int]:
        counted.append(given[3])
        return count_keys(*given)

    monkeypatch.setattr(find, "count_keys", count)
    build.touched()
    games(build, *"12345")
    build.touched()
    assert counted == [set(), {"games"}]
