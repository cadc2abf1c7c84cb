"""The rows of expired days: their files were deleted by a lifecycle rule of the bucket."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from include.manifest import PROJECT
from tests.support.hand_lake import HandLake, folder
from tests.support.warehouse import WITHOUT_TESTS, Row, Warehouse

FIRST = datetime.now(UTC).date() - timedelta(days=30)
DAYS = [FIRST + timedelta(days=number) for number in range(12)]
GONE = DAYS[:5]
KEPT = ("int_events", "fct_sessions", "int_event_days", "int_lake_days", "fct_quarantined_events")


def rows(warehouse: Warehouse) -> dict[str, list[Row]]:
    """The rows of the expired days, by table."""
    found = {}
    for table in KEPT:
        schema = "intermediate" if table.startswith("int_") else "marts"
        last = {"fct_sessions": "session_date", "int_lake_days": "lake_date"}
        column = last.get(table, "partition_date" if table.startswith("fct") else "event_date")
        found[table] = warehouse.query(
            f"select * from {schema}.{table} where {column} <= ? order by all", GONE[-1]
        )
    return found


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A warehouse of twelve days. The files of the first five were deleted after the build."""
    root = tmp_path_factory.mktemp("expired")
    lake = HandLake(root / "lake")
    for day in DAYS:
        lake.event(f"{day}T10:00:00", "login", user_id="p", session_id=f"{day}")
        lake.event(f"{day}T10:01:00", "made_up", session_id=f"{day}")
        lake.event(f"{day}T10:02:00", session_id=f"{day}", application_id=None)
    lake.write()
    warehouse = Warehouse(lake.root, root, late_days="3")
    warehouse.build(*WITHOUT_TESTS)
    for day in GONE:
        shutil.rmtree(lake.root / "raw_events" / folder(day))
    assert all(rows(warehouse).values())
    return warehouse


def test_a_full_refresh_is_refused_before_it_loses_rows(warehouse: Warehouse) -> None:
    before = rows(warehouse)
    warehouse.find(full_refresh=True)
    messages = warehouse.dbt(*WITHOUT_TESTS, "--full-refresh")
    assert set(messages) == {"stg_game_events"}
    for text in messages.values():
        assert f"would lose the rows of 5 days from {GONE[0]} to {GONE[-1]}" in text
        assert "from and to" in text
    assert rows(warehouse) == before


def test_a_full_refresh_of_models_that_do_not_read_the_lake_is_allowed(
    warehouse: Warehouse,
) -> None:
    before = rows(warehouse)
    warehouse.find(full_refresh=True)
    assert warehouse.dbt(*WITHOUT_TESTS, "--full-refresh", "--select", "fct_sessions+") == {}
    assert rows(warehouse) == before


def test_after_a_limited_listing_no_older_day_counts_as_expired(warehouse: Warehouse) -> None:
    warehouse.find()
    messages = warehouse.dbt(*WITHOUT_TESTS, "--full-refresh", "--select", "int_events")
    assert "would lose the rows of 12 days" in messages["int_events"]


def test_a_changed_seed_builds_what_the_lake_still_has(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    before = rows(warehouse)
    project = tmp_path / "dbt"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    with (project / "seeds" / "event_types.csv").open("a") as seed:
        seed.write("made_up,false\n")
    warehouse.project = project
    try:
        days = warehouse.build(*WITHOUT_TESTS)
    finally:
        warehouse.project = PROJECT
    # The days after an expired day are not built, because int_events also reads the days beside a
    # touched day.
    assert days["raw_events"] == [str(day) for day in DAYS[7:]]
    assert rows(warehouse) == before
    known = warehouse.query(
        "select event_date from intermediate.int_events "
        "where event_type = 'made_up' and is_known_type order by 1"
    )
    assert [row["event_date"] for row in known] == DAYS[6:]


def test_without_late_days_the_marts_hold_what_the_lake_holds(warehouse: Warehouse) -> None:
    unbounded = Warehouse(warehouse.lake, warehouse.settings.duckdb_path.parent)
    unbounded.find(full_refresh=True)
    assert unbounded.dbt(*WITHOUT_TESTS, "--full-refresh") == {}
    assert not any(rows(unbounded).values())
