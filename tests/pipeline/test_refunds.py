"""Refunds in part, in whole, twice, too early and of nothing (DESIGN.md, section 5, "Refunds")."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from include.lake.landing.landing import land_files
from tests.pipeline.truth import differences, shown
from tests.support.hand_lake import HandLake
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

ARRIVED_AT = int(datetime(2026, 11, 30, tzinfo=UTC).timestamp())


def assert_oracle_agrees(warehouse: Warehouse) -> None:
    found = differences(warehouse)
    assert not found, shown(found)


def kpis(warehouse: Warehouse, application: str) -> Mapping[str, tuple[object, ...]]:
    """IAP revenue, refunds and revenue by day, without the days on which all are 0."""
    rows = warehouse.query(
        "select * from marts.rpt_daily_kpis where application_id = ? and"
        " (iap_revenue <> 0 or refunds <> 0) order by kpi_date",
        application,
    )
    return {
        str(row["kpi_date"]): (row["iap_revenue"], row["refunds"], row["revenue"]) for row in rows
    }


def test_the_refunds_of_the_fault_inputs(reference_data: Path, tmp_path: Path) -> None:
    events = reference_data / "faults" / "events_money.jsonl"
    land_files(tmp_path / "lake", [str(events)], ARRIVED_AT)
    warehouse = Warehouse(tmp_path / "lake", tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    price = Decimal("9.99")
    assert kpis(warehouse, "part") == {
        "2026-11-20": (price, 0, price),
        "2026-11-21": (0, 2, -2),
        "2026-11-22": (0, 1, -1),
    }
    assert kpis(warehouse, "neg") == {
        "2026-11-20": (price, 0, price),
        "2026-11-21": (0, price, -price),
    }
    assert kpis(warehouse, "orph") == {"2026-11-20": (0, 5, -5)}
    players = warehouse.query(
        "select application_id, lifetime_revenue, is_payer from marts.dim_players"
        " where application_id in ('part', 'neg', 'orph', 'early') order by 1"
    )
    assert [tuple(row.values()) for row in players] == [
        ("early", 0, True),
        ("neg", 0, True),
        ("orph", -5, False),
        ("part", Decimal("6.99"), True),
    ]
    refunded = warehouse.query(
        "select transaction_id, revenue - refunded_revenue as kept from marts.fct_purchases"
        " where application_id in ('part', 'neg', 'early') order by 1"
    )
    assert [tuple(row.values()) for row in refunded] == [
        ("A", 0),
        ("B", Decimal("6.99")),
        ("D", 0),
    ]
    health = warehouse.query(
        "select sum(unknown_refund_count) as unknown, sum(excess_refund_count) as excess"
        " from marts.rpt_data_health"
    )
    assert health == [{"unknown": 1, "excess": 0}]
    assert_oracle_agrees(warehouse)


def refund_events(lake: HandLake) -> None:
    """Write the purchases and refunds of one player, each transaction with another difficulty."""
    lake.event("2026-03-09T12:00:00", user_id="p")
    lake.event("2026-03-16T12:00:00", user_id="p")
    for transaction, amount, currency in (
        ("in parts", "10", "EUR"),
        ("too much", "10", "USD"),
        ("twice", "10", "USD"),
        ("early", "10", "USD"),
        ("two currencies", "10", "EUR"),
    ):
        lake.event(
            "2026-03-12T12:00:00", "iap_transaction", user_id="p", transaction_id=transaction,
            currency_amount=amount, currency_type=currency,
        )  # fmt: skip
    for day, refunded, values in (
        (13, "in parts", {"currency_amount": "4"}),
        (14, "in parts", {"currency_amount": "6"}),
        (13, "too much", {"currency_amount": "7", "currency_type": "USD"}),
        (14, "too much", {"currency_amount": "7", "currency_type": "USD"}),
        (13, "twice", {}),
        (14, "twice", {}),
        (10, "early", {"currency_amount": "-3", "currency_type": "USD"}),
        (13, "two currencies", {"currency_amount": "20", "currency_type": "USD"}),
        (14, "never bought", {"currency_amount": "1", "currency_type": "EUR"}),
        (14, "never bought", {}),
        (14, None, {"currency_amount": "x"}),
    ):
        lake.event(
            f"2026-03-{day}T12:00:00", "iap_refund", user_id="p", transaction_id=refunded, **values,
        )  # fmt: skip
    lake.event(
        "2026-03-15T12:00:00", "iap_transaction", user_id="q", transaction_id="never bought",
        currency_amount="-2", currency_type="USD",
    )  # fmt: skip
    lake.table(
        "currency_exchange/rates.csv",
        [
            {"date": f"2026-03-{day}", "currency": "USD", "baserateeuro": rate}
            for day, rate in ((12, "0.8"), (13, "0.5"), (14, "1"))
        ],
    )


def test_refunds_in_every_order_of_arrival(tmp_path: Path) -> None:
    """Every day but one is built first, and the last one arrives alone."""
    source = HandLake(tmp_path / "source")
    refund_events(source)
    source.write()
    for late in ("10", "12", "14"):
        lake = tmp_path / f"without {late}"
        warehouse = Warehouse(lake, tmp_path / f"warehouse {late}")
        (tmp_path / f"warehouse {late}").mkdir()
        for attempt in (0, 1):
            for path in (tmp_path / "source").rglob("*.*"):
                name = path.relative_to(tmp_path / "source")
                if attempt or f"day={late}" not in name.parts:
                    (lake / name).parent.mkdir(parents=True, exist_ok=True)
                    if not (lake / name).exists():
                        (lake / name).write_bytes(path.read_bytes())
            warehouse.build(*WITHOUT_TESTS)
        assert kpis(warehouse, "a") == {
            "2026-03-10": (0, 3, -3),
            # 10 euros are 12.5 dollars on the day of the purchases.
            "2026-03-12": (55, 0, 55),
            # 4 euros are 8 dollars, 7 and 10 dollars are what they are, 20 dollars are cut to 12.5.
            "2026-03-13": (0, Decimal("37.5"), Decimal("-37.5")),
            # What is left of the purchase in parts, the rest of 10 dollars, and an unknown euro.
            "2026-03-14": (0, Decimal("8.5"), Decimal("-8.5")),
            "2026-03-15": (0, 2, -2),
        }
        assert_oracle_agrees(warehouse)
        health = warehouse.query(
            "select health_date, unknown_refund_count, excess_refund_count, schema_mismatch_count"
            " from marts.rpt_data_health where source_name = 'raw_events' order by 1"
        )
        assert {str(row.pop("health_date"))[-2:]: tuple(row.values()) for row in health} == {
            **dict.fromkeys(("09", "10", "12", "16"), (0, 0, 0)),
            "13": (0, 1, 0),
            "14": (2, 1, 1),
            "15": (1, 0, 0),
        }


def test_a_refund_without_a_rate_fails_the_test_that_names_it(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    for kind, values in (
        ("iap_transaction", {"currency_amount": "10", "currency_type": "USD"}),
        ("iap_refund", {"currency_amount": "1", "currency_type": "GBP"}),
    ):
        lake.event("2026-03-12", kind, user_id="p", transaction_id="t", **values)
    lake.write()
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    (row,) = warehouse.failing_rows("assert_refunds_have_rates")
    assert (row["transaction_id"], row["currency"]) == ("t", "GBP")
    (purchase,) = warehouse.rows("marts.fct_purchases")
    assert purchase["refunded_revenue"] is None
    assert_oracle_agrees(warehouse)
