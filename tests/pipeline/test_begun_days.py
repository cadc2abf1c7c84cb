"""Days that a failed run has built are built again, whatever happened to their files since."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from tests.support.hand_lake import HandLake, Row
from tests.support.warehouse import WITHOUT_TESTS, Warehouse


def bet(bet_id: str) -> Row:
    row: Row = {"realamount": 5, "bonusamount": 0, "channeluid": "c", "txcurrency": "USD"}
    return row | {"gameid": "g", "txtype": "WAGER", "betid": bet_id, "playerid": "p"}


def counts(warehouse: Warehouse) -> list[tuple[object, ...]]:
    return [
        tuple(row.values())
        for row in warehouse.query(
            "select source_name, cast(lake_date as varchar), landed_count "
            "from intermediate.int_lake_days order by all"
        )
    ]


def in_order(warehouse: Warehouse) -> dict[str, list[str]]:
    return {name: sorted(map(repr, rows)) for name, rows in warehouse.tables().items()}


def test_files_that_are_removed_after_a_failed_run_leave_no_rows(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    lake.event("2026-03-10T10:00:00", user_id="p")
    lake.table("game_transactions/date=2026-03-10/bets.csv", [bet("b1")])
    lake.write()
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    right, tables = counts(warehouse), in_order(warehouse)
    assert right == [("game_transactions", "2026-03-10", 1), ("raw_events", "2026-03-10", 1)]

    # A new day and a late file are built by a run that fails before it records them.
    lake.event("2026-03-12T10:00:00", user_id="p")
    lake.table("game_transactions/date=2026-03-10/late.csv", [bet("b2"), bet("b3")])
    lake.write()
    warehouse.find()
    assert warehouse.dbt(*WITHOUT_TESTS) == {}
    assert len(counts(warehouse)) == 3

    (lake.root / "game_transactions/date=2026-03-10/late.csv").unlink()
    (lake.root / "raw_events/year=2026/month=03/day=12/part-0.parquet").unlink()
    days = warehouse.build(*WITHOUT_TESTS)
    assert days["game_transactions"] == ["2026-03-10"]
    assert days["raw_events"] == ["2026-03-12"]
    assert counts(warehouse) == right
    assert in_order(warehouse) == tables
