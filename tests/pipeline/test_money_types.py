"""Very small rates and very large amounts are right to the cent (DESIGN.md, section 5)."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from tests.pipeline.truth import differences, shown
from tests.support.hand_lake import HandLake
from tests.support.warehouse import WITHOUT_TESTS, Warehouse


def turnover(warehouse: Warehouse) -> dict[object, object]:
    """The turnover of each game, in the reporting currency."""
    rows = warehouse.query("select game_id, turnover from marts.rpt_betting")
    return {row["game_id"]: row["turnover"] for row in rows}


def assert_oracle_agrees(warehouse: Warehouse) -> None:
    found = differences(warehouse)
    assert not found, shown(found)


def test_the_small_rates_of_the_fault_inputs(reference_data: Path, tmp_path: Path) -> None:
    faults = reference_data / "faults" / "small_rates"
    for name, folder in (("rates", "currency_exchange"), ("bets", "game_transactions")):
        day = "date=2026-03-02" if name == "bets" else ""
        target = tmp_path / "lake" / folder / day
        target.mkdir(parents=True)
        shutil.copy(faults / f"{name}.csv", target)
    warehouse = Warehouse(tmp_path / "lake", tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    assert turnover(warehouse) == {
        "l1": Decimal("100692.2093"),
        "v1": Decimal("344733.4884"),
        "i1": Decimal("536178.1395"),
        "v2": Decimal("574555.8140"),
    }
    assert_oracle_agrees(warehouse)


def test_rates_and_amounts_of_any_size(tmp_path: Path) -> None:
    """The reporting currency is itself worth little, so that bitcoins are worth billions."""
    lake = HandLake(tmp_path / "lake")
    rates = {"VND": "0.0000329412", "BTC": "91234.56", "SHIB": "0.0000000051234567891"}
    lake.table(
        "currency_exchange/rates.csv",
        [
            {"date": "2026-03-02", "currency": name, "baserateeuro": rate}
            for name, rate in rates.items()
        ],
    )
    bets = (
        *(
            ("g1", "BTC", "0.00000001"),
            ("g2", "BTC", "1000.00000001"),
            ("g3", "VND", "15000000000"),
        ),
        *(("g4", "SHIB", "9999999999999999.99999999"), ("g5", "EUR", "3.33333333")),
        # No mart can hold these two, which must not stop the build.
        *(("g6", "BTC", "9999999999999999"), ("g7", "VND", "9999999999999.99999999")),
        ("g8", "VND", "10000000000000"),
    )
    lake.table(
        "game_transactions/date=2026-03-02/bets.jsonl",
        [
            {
                **{"realamount": amount, "txcurrency": currency, "gameid": game, "betid": "b"},
                **{"txtype": "WAGER", "playerid": "p"},
            }
            for game, currency, amount in bets
        ],
    )
    warehouse = Warehouse(lake.root, tmp_path, reporting_currency="VND")
    warehouse.build(*WITHOUT_TESTS)
    exact = {
        name: Decimal(rate) / Decimal(rates["VND"]) for name, rate in (*rates.items(), ("EUR", "1"))
    }
    found = turnover(warehouse)
    for game, currency, amount in bets[:5]:
        expected = Decimal(amount) * exact[currency]
        error = abs(Decimal(str(found[game])) - expected)
        assert error < max(expected * Decimal("1e-10"), Decimal("0.0001")), (game, found[game])
    assert (found["g6"], found["g7"], found["g8"]) == (None, Decimal("10000000000000.0000"), None)
    assert_oracle_agrees(warehouse)
