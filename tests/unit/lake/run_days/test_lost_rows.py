"""A source that lost its files, most of its days or most of its keys stops the first step."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.run_days import lost_rows
from include.lake.run_days.find import find_run_days
from include.lake.sources import Source, sources
from include.lake.storage.folder import FolderLake
from include.lake.storage.lake import Lake
from include.settings import Settings, UserError
from include.warehouse.duckdb_file import DuckDB
from tests.unit.lake.run_days.builds import Build, event_file, event_folder, manifest

DAYS = [f"2026-09-0{number}" for number in range(1, 5)]


def games(build: Build, *values: str, name: str = "g") -> Path:
    path = build.lake / f"games/{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{value}\n" for value in ("value", *values)))
    return path


def bets(build: Build, *days: str, content: str = "value\na\n") -> None:
    for day in days:
        path = build.lake / f"game_transactions/date={day}/a.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def parsed_files(build: Build) -> list[Path]:
    return sorted((build.lake / "ledger_rows").rglob("*.parquet"))


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
    counted: list[str] = []
    count = lost_rows._count

    def recording(lake: Lake, settings: Settings, source: Source, file: Any) -> int:
        counted.append(source.name)
        return count(lake, settings, source, file)

    monkeypatch.setattr(lost_rows, "_count", recording)
    build.touched()
    assert counted == []
    games(build, *"12345")
    build.touched()
    # The rows are in the lake, but no build has recorded their keys.
    build.touched()
    build.record()
    assert counted == ["games", "games"]
    assert key_count(build) == 5
    build.touched()
    assert counted == ["games", "games"]


def key_count(build: Build) -> int:
    rows = build.connection.execute("select key_count from operations.built_sources").fetchall()
    return sum(int(count) for (count,) in rows)


def test_a_loss_is_refused_before_the_parsed_rows_are_replaced(build: Build) -> None:
    """Another task of the run before may read the parsed rows again."""
    bets(build, *DAYS)
    built(build)
    before = parsed_files(build)
    games(build, "1")
    bets(build, *DAYS[1:])
    with pytest.raises(UserError, match="games had 4 keys and has 1"):
        build.touched()
    assert parsed_files(build) == before
    allow(build)
    assert len(set(parsed_files(build)) - set(before)) == len(DAYS)


def test_days_whose_files_lost_all_rows_stop_the_run(build: Build) -> None:
    bets(build, *DAYS)
    built(build)
    before = parsed_files(build)
    for day in DAYS:
        bets(build, day, content="value\n")
    event_file(build.lake, "2026-09-09")
    match = "game_transactions had 4 changed days with rows and has 0. Nothing was built"
    for full_refresh in (False, True):
        with pytest.raises(UserError, match=match):
            build.touched(full_refresh=full_refresh)
    assert parsed_files(build) == before
    # Half of the changed days may lose their rows. The run names them.
    bets(build, *DAYS[:2], content="value\nb\n")
    assert build.touched() == ["2026-09-09"]
    (warning,) = build.warnings
    assert warning.startswith(f"game_transactions: the files of {DAYS[2]}, {DAYS[3]} had rows in")
    build.record()
    # An empty day is no loss again.
    bets(build, DAYS[3], content="value\n\n")
    assert (build.touched(), build.warnings) == ([], [])


@pytest.mark.parametrize(("content", "count"), [("", 0), ("a\nb,b\nc,c\n", 1), ("a\nb\n", 2)])
def test_rows_that_cannot_be_read_do_not_count(build: Build, content: str, count: int) -> None:
    bets(build, DAYS[0], content=f"value\n{content}")
    build.touched()
    (parsed,) = parsed_files(build)
    lake = FolderLake(build.lake)
    source = replace(sources(manifest())[0], name="ledger_rows/game_transactions")
    (listed,) = lake.files(source)
    assert [lost_rows.good_rows(lake, file) for file in (parsed, listed)] == [count, count]
    parsed.write_bytes(b"damaged")
    assert lost_rows.good_rows(lake, parsed) == 0


def test_one_corrected_day_may_lose_its_rows_but_not_the_last_one(build: Build) -> None:
    bets(build, *DAYS[:2])
    built(build)
    bets(build, DAYS[0], content="value\n")
    assert build.touched() == []
    (warning,) = build.warnings
    assert f"the files of {DAYS[0]} had rows in the last run and have none now" in warning
    build.record()
    bets(build, DAYS[1], content="value\n")
    with pytest.raises(UserError, match="game_transactions had 1 changed day with rows and has 0"):
        build.touched()
    allow(build)
    assert build.touched() == []


def test_one_corrected_day_may_lose_its_rows_if_other_days_are_before_the_bound(
    tmp_path: Path,
) -> None:
    build = Build(tmp_path, late_days="3")
    today = datetime.now(UTC).date()
    old, new = (str(today - timedelta(days=number)) for number in (20, 0))
    bets(build, old, new)
    built(build)
    bets(build, new, content="value\n")
    assert build.touched() == []
    assert new in str(build.warnings)


def test_sources_that_can_be_empty_may_lose_their_keys_and_rows(build: Build) -> None:
    bets(build, *DAYS)
    built(build)
    games(build, "1")
    for day in DAYS:
        bets(build, day, content="value\n")
    project = manifest()
    for name in ("games", "game_transactions"):
        declared = project.content["sources"][f"source.p.l.{name}"]
        declared["config"]["meta"]["can_be_empty"] = True
    assert (build.touched(project), build.warnings) == ([], [])


def test_a_file_that_moved_to_its_right_day_is_not_lost(build: Build) -> None:
    built(build, "2026-09-01")
    event_folder(build.lake, "2026-09-01").rename(event_folder(build.lake, "2026-09-02"))
    assert build.touched() == ["2026-09-01", "2026-09-02"]
    build.record()
    for day in ("2026-09-03", "2026-09-04", "2026-09-05", "2026-09-06"):
        event_file(build.lake, day)
    build.touched()
    build.record()
    for day in ("2026-09-02", "2026-09-03", "2026-09-04", "2026-09-05"):
        shutil.rmtree(event_folder(build.lake, day))
    event_file(build.lake, "2026-09-07")
    with pytest.raises(UserError, match="raw_events had 5 days and has 2"):
        build.touched()


def test_a_damaged_file_of_parsed_rows_is_named_without_its_values(build: Build) -> None:
    games(build, "secret1")
    build.touched()
    (parsed,) = (build.lake / "ledger_rows/games").iterdir()
    parsed.write_bytes(b"secret1")
    with pytest.raises(UserError, match="the keys of games cannot be counted") as caught:
        build.touched()
    assert "secret1" not in str(caught.value)
    assert f"remove {parsed.parent} if its file is damaged" in str(caught.value)
    shutil.rmtree(parsed.parent)
    build.touched()
