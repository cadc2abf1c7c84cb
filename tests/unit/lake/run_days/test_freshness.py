"""Which sources are stale, and that a source without an answer never counts as fresh."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from dbt.cli.main import dbtRunner

from include.build.run_dbt import close_warehouse
from include.lake.run_days.freshness import reported_stale_sources, stale_sources
from include.lake.run_days.tables import create_tables
from include.manifest import Manifest
from include.settings import Settings, UserError
from include.warehouse.database import open_database

EVENTS = "source.game_analytics.game_events.raw_events"
BETS = "source.game_analytics.ledger.game_transactions"
COLUMNS = "source, day, changed_at"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A warehouse that lists files of the two sources with a freshness rule, and of one without."""
    lake = tmp_path / "lake"
    lake.mkdir()
    dbt = Path(sys.executable).with_name("dbt")
    settings = Settings(
        lake=str(lake), duckdb=str(tmp_path / "warehouse.duckdb"), dbt_executable=str(dbt)
    )
    with open_database(settings) as database:
        create_tables(database, settings, {})
        for name in ("raw_events", "game_transactions", "games"):
            database.execute(
                f"insert into operations.listed_partitions ({COLUMNS}) "
                f"values ('{name}', '2026-11-20', current_timestamp)"
            )
    return settings


def answering(settings: Settings, folder: Path, statuses: dict[str, str] | None) -> Settings:
    """The settings with a dbt that writes these statuses, or no file if they are None."""
    content = {
        "results": [{"unique_id": name, "status": s} for name, s in (statuses or {}).items()]
    }
    dbt = folder / "dbt"
    dbt.write_text(
        f"#!{sys.executable}\n"
        "import sys, pathlib\n"
        "target = pathlib.Path(sys.argv[sys.argv.index('--target-path') + 1])\n"
        f"if {statuses is not None}:\n"
        f"    (target / 'sources.json').write_text({json.dumps(content)!r})\n"
        "sys.exit(1)\n"
    )
    dbt.chmod(0o755)
    return Settings(lake=settings.lake, duckdb=settings.duckdb, dbt_executable=str(dbt))


def test_a_source_whose_freshness_query_fails_is_an_error_that_names_it(
    settings: Settings, tmp_path: Path
) -> None:
    with open_database(settings) as database:
        database.execute("alter table operations.listed_partitions rename to files")
        database.execute(
            "create view operations.listed_partitions as select * replace (case when source = "
            "'raw_events' then error('the query fails') else changed_at end as changed_at) "
            "from operations.files"
        )
    with pytest.raises(UserError, match=f"the freshness of {EVENTS}: repair") as raised:
        stale_sources(settings, Manifest.read(), tmp_path)
    assert BETS not in str(raised.value)


def test_a_process_that_has_imported_dbt_answers_too(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    with open_database(settings) as database:
        database.execute("update operations.listed_partitions set changed_at = date '2020-01-01'")
    without = replace(settings, dbt_executable="/nowhere/dbt")

    def run_dbt(arguments: Sequence[str]) -> None:
        dbtRunner().invoke(list(arguments))

    answers = stale_sources(without, Manifest.read(), tmp_path, run_dbt)
    assert answers == [EVENTS, BETS]
    close_warehouse(settings)
    with open_database(settings, timeout_seconds=0):
        pass


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ({EVENTS: "pass", BETS: "warn"}, []),
        ({EVENTS: "pass", BETS: "error"}, [BETS]),
    ],
)
def test_a_stale_source_is_one_that_dbt_calls_an_error(
    settings: Settings, tmp_path: Path, statuses: dict[str, str], expected: list[str]
) -> None:
    answered = answering(settings, tmp_path, statuses)
    assert stale_sources(answered, Manifest.read()) == expected


@pytest.mark.parametrize(
    ("statuses", "named"),
    [
        ({EVENTS: "pass"}, BETS),
        ({EVENTS: "error"}, BETS),
        ({EVENTS: "pass", BETS: "runtime error"}, BETS),
        ({EVENTS: "pass", BETS: "a new status"}, BETS),
        ({}, f"{BETS}, {EVENTS}"),
        (None, "the sources"),
    ],
)
def test_a_source_without_an_answer_is_an_error(
    settings: Settings, tmp_path: Path, statuses: dict[str, str] | None, named: str
) -> None:
    # What an earlier try left in the same folder is no answer.
    (tmp_path / "sources.json").write_text(
        json.dumps({"results": [{"unique_id": name, "status": "pass"} for name in (EVENTS, BETS)]})
    )
    with pytest.raises(UserError, match=f"the freshness of {named}: repair"):
        stale_sources(answering(settings, tmp_path, statuses), Manifest.read(), tmp_path)


@pytest.mark.parametrize("is_complete", [True, False])
def test_the_results_and_the_manifest_are_in_docs_also_after_an_error(
    settings: Settings, tmp_path: Path, is_complete: bool
) -> None:
    statuses = {EVENTS: "pass", **({BETS: "error"} if is_complete else {})}
    answered = replace(answering(settings, tmp_path, statuses), docs=str(tmp_path / "docs"))
    if is_complete:
        assert reported_stale_sources(answered, Manifest.read(), "r:1") == [BETS]
    else:
        with pytest.raises(UserError, match=BETS):
            reported_stale_sources(answered, Manifest.read(), "r:1")
    folder = tmp_path / "docs" / "runs" / "r_1" / "freshness"
    assert {path.name for path in folder.iterdir()} == {"sources.json", "manifest.json"}


def test_freshness_is_known_although_docs_cannot_be_written(
    settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").touch()
    answered = answering(settings, tmp_path, {EVENTS: "pass", BETS: "pass"})
    answered = replace(answered, docs=str(tmp_path / "docs"))
    assert reported_stale_sources(answered, Manifest.read(), "r") == []
    assert "warning: the freshness of the sources is not published" in capfd.readouterr().err
