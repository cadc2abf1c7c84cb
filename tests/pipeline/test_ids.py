"""Ids that no program should send: whose events they are, and that the day is still recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from include.lake.landing.landing import land_files
from tests.support.hand_lake import HandLake
from tests.support.warehouse import WITHOUT_UNIT_TESTS, Warehouse

ARRIVED_AT = int(datetime(2026, 11, 30, tzinfo=UTC).timestamp())


def test_the_players_of_the_fault_inputs(reference_data: Path, tmp_path: Path) -> None:
    land_files(
        tmp_path / "lake", [str(reference_data / "faults" / "events_players.jsonl")], ARRIVED_AT
    )
    warehouse = Warehouse(tmp_path / "lake", tmp_path)
    warehouse.build(*WITHOUT_UNIT_TESTS)
    players = warehouse.query(
        "select application_id, player_id from marts.dim_players order by all"
    )
    assert [tuple(row.values()) for row in players] == [
        ("anon", "anonymous"),
        ("flt", "12345"),
        ("link", "fb-9"),
        ("link", "guest-1"),
    ]


def test_hostile_ids_do_not_stop_a_build(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    for session_id in (None, "s", "gap:1767225600", "s:2026-01-03", "gap", "s:", "s::2026-01-03"):
        for day in ("01", "02", "03"):
            for player in ("b|c", "c"):
                lake.event(f"2026-01-{day}T00:00:00", user_id=player, session_id=session_id)
    for application, player in (("a|b", "c"), ("a", "b|c")):
        lake.event("2026-01-03", application_id=application, user_id=player, session_id="k")
    for player in ("p", "q", "r"):
        values = {"currency_amount": "1.99", "transaction_id": 1.0}
        lake.event("2026-01-03 09:00", "iap_transaction", user_id=player, **values)
    lake.write()
    warehouse = Warehouse(lake.root, tmp_path)
    # The build includes all data tests, and a red one would leave the days unrecorded.
    warehouse.build(*WITHOUT_UNIT_TESTS)
    (health,) = warehouse.query(
        "select shared_transaction_count from marts.rpt_data_health "
        "where health_date = '2026-01-03'"
    )
    assert health["shared_transaction_count"] == 3
    (shared,) = warehouse.query(
        "select transaction_id, count(*) as purchase_count from marts.fct_purchases group by 1"
    )
    assert shared == {"transaction_id": "1", "purchase_count": 1}
