"""Which days a build's data tests look at: those of the run, or all where all are new."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from tests.support.hand_lake import HandLake
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

DAYS = [date(2026, 9, 1) + timedelta(days=number) for number in range(12)]
DOUBLE = "int_events__unique_combination_of_columns"
LOST = "assert_player_days_reconcile_with_events"


def failed(warehouse: Warehouse, *arguments: str) -> set[str]:
    """Return which of the two tests fail. Each runs in a build of its own, because dbt skips a test
    below a failed one.
    """
    return {name for test in (DOUBLE, LOST) for name in warehouse.dbt("--select", test, *arguments)}


def test_a_build_tests_the_days_that_it_replaces(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    for day in DAYS:
        lake.event(f"{day}T10:00:00", user_id="p", event_id=f"{day}")
    lake.write()
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.find()
    assert warehouse.dbt(*WITHOUT_TESTS) == {}
    warehouse.execute(
        [
            "insert into intermediate.int_events select * from intermediate.int_events "
            f"where event_date = '{DAYS[2]}'",
            f"delete from marts.fct_player_days where activity_date = '{DAYS[2]}'",
        ]
    )
    # No build has been recorded yet, so all days are tested.
    assert failed(warehouse) == {DOUBLE, LOST}
    warehouse.record()

    lake.event(f"{DAYS[8]}T11:00:00", user_id="late")
    lake.write()
    assert warehouse.find()["raw_events"] == [str(DAYS[8])]
    assert failed(warehouse) == set()
    assert failed(warehouse, "--full-refresh") == {DOUBLE, LOST}
    # `dbt test` without a build tests all days.
    assert set(warehouse.tests(DOUBLE)) == {DOUBLE}

    # The wrong rows are on the day before the touched day, and that day is replaced as well.
    lake.event(f"{DAYS[3]}T11:00:00", user_id="late")
    lake.write()
    warehouse.find()
    assert failed(warehouse) == {DOUBLE, LOST}
