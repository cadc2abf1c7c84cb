"""No event is lost between the lake's files and the table of landed events."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from tests.support.hand_lake import HandLake
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

TEST = "assert_no_landed_row_is_lost"
DAYS = (date(2026, 7, 1), date(2026, 7, 2))
LOST = f"event_id = 'lost' and partition_date = date '{DAYS[1]}'"


def rows(warehouse: Warehouse) -> dict[str, list[str]]:
    """The rows of each table, sorted."""
    return {
        name: sorted(repr(sorted(row.items())) for row in found)
        for name, found in warehouse.tables().items()
    }


def test_a_row_that_no_table_has_is_found_by_the_rows_of_the_files(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    for day in DAYS:
        lake.event(f"{day}T10:00:00", user_id="p")
        lake.event(f"{day}T11:00:00", user_id="p", event_id="lost")
        lake.event(f"{day}T12:00:00", user_id="p", event_id="twice")
        lake.event(f"{day}T12:00:00", user_id="p", event_id="twice")
        lake.event(f"{day}T13:00:00", user_id="p", event_id=None)
    lake.write()
    warehouse = Warehouse(lake.root, tmp_path)
    assert warehouse.find()["raw_events"] == [str(day) for day in DAYS]
    counted = (
        "select day, row_count from operations.run_days where source = 'raw_events' order by 1"
    )
    with warehouse.opened() as database:
        assert database.rows(counted) == [(str(day), 5) for day in DAYS]
    assert warehouse.dbt(*WITHOUT_TESTS) == {}
    assert warehouse.tests(TEST) == {}

    # All tables are built again without the row, as if the model that reads the lake had lost it.
    with warehouse.opened() as database:
        database.execute(f"delete from staging.stg_game_events where {LOST}")
    assert (
        warehouse.dbt(
            *WITHOUT_TESTS, "--select", "stg_game_events+", "--exclude", "stg_game_events"
        )
        == {}
    )
    (row,) = warehouse.failing_rows(TEST)
    assert row == {
        "lake_date": DAYS[1],
        "row_count_of_files": 5,
        "landed_count": 4,
        "valid_count": 3,
        "event_count": 2,
    }


def test_the_view_of_an_earlier_version_becomes_a_table_with_all_days(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    for day in DAYS:
        lake.event(f"{day}T10:00:00", user_id="p")
    lake.write()
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    before = rows(warehouse)
    assert len(before["staging.stg_game_events"]) == len(DAYS)
    with warehouse.opened() as database:
        database.execute("drop table staging.stg_game_events")
        database.execute("create view staging.stg_game_events as select 1 as event_id")
    warehouse.build(*WITHOUT_TESTS)
    assert rows(warehouse) == before
