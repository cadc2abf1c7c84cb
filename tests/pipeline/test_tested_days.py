"""Which rows a build's data tests look at: those of the run, or all where all are new."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from tests.support.hand_lake import HandLake
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

DAYS = [date(2026, 9, 1) + timedelta(days=number) for number in range(12)]
DOUBLE = "int_events__unique_combination_of_columns"
TRANSACTION = "fct_purchases__unique_combination_of_columns"
GGR = "assert_ggr_by_game_equals_by_player"
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


def test_a_build_tests_the_rows_of_the_keys_that_it_has_built(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    for number in (2, 8):
        _purchase(lake, number)
        _bet(lake, number)
    lake.write()
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    _purchase(lake, 9)
    _bet(lake, 9)
    lake.write()
    warehouse.find()
    assert warehouse.dbt(*WITHOUT_TESTS) == {}
    repeat = "insert into marts.fct_purchases select * from marts.fct_purchases where "
    forget = "update marts.rpt_betting set bet_count = 0 where bet_date = "
    tests = {TRANSACTION: 0, GGR: 0}
    warehouse.execute([f"{repeat} transaction_id <> 't9'", f"{forget} '{DAYS[2]}'"])
    assert found(warehouse.dbt, *tests) == tests
    warehouse.execute([f"{repeat} transaction_id = 't9'", f"{forget} '{DAYS[9]}'"])
    tests = {TRANSACTION: 1, GGR: 1}
    assert found(warehouse.dbt, *tests) == tests
    # The next run has the same rows and keys, because the failed run is not recorded.
    warehouse.find()
    assert warehouse.dbt(*WITHOUT_TESTS) == {}
    assert found(warehouse.dbt, *tests) == tests
    assert found(lambda *arguments: warehouse.tests(arguments[1]), *tests) == {
        TRANSACTION: 3,
        GGR: 2,
    }
    # A key that is not built yet stays when a run is recorded.
    table = "operations.changes_of_fct_purchases"
    warehouse.execute([f"insert into {table} (changed_transaction_id) values ('next')"])
    warehouse.record()
    assert [row["changed_transaction_id"] for row in warehouse.rows(table)] == ["next"]
    assert found(warehouse.dbt, *tests) == {TRANSACTION: 0, GGR: 0}
    # A key with a null can belong to any row.
    warehouse.execute(
        [f"insert into {table} (changed_application_id, is_built) values ('a', true)"]
    )
    assert found(warehouse.dbt, *tests) == {TRANSACTION: 3, GGR: 0}


def found(run: Callable[..., Mapping[str, str]], *tests: str) -> dict[str, int]:
    """Run each test alone; returns how many rows it finds."""
    counts = {}
    for test in tests:
        message = run("--select", test).get(test, "Got 0 results")
        counts[test] = int(message.split()[1])
    return counts


def _purchase(lake: HandLake, number: int) -> None:
    lake.event(
        f"{DAYS[number]}T10:00:00",
        "iap_transaction",
        user_id=f"p{number}",
        transaction_id=f"t{number}",
        currency_amount=number,
    )


def _bet(lake: HandLake, number: int) -> None:
    row = {"realamount": 5, "txcurrency": "USD", "gameid": "g", "txtype": "WAGER", "betid": "b"}
    lake.table(f"game_transactions/date={DAYS[number]}/0.csv", [{**row, "playerid": "l"}])
