"""`rpt_experiments` equals the oracle with many players, and after each late event."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from tests.pipeline.oracle import compute
from tests.pipeline.truth import KEYS, RATE_TOLERANCE, RELATIVE_TOLERANCES
from tests.support.compare import difference
from tests.support.hand_lake import HandLake, epoch
from tests.support.warehouse import WITHOUT_TESTS, Row, Warehouse

TABLE = "rpt_experiments"
DAY = 86_400
FIRST = epoch("2026-03-16T12:00:00")
"""Noon of the first day of exposures, before which the players have 15 days."""
REPORT = ("--select", f"+{TABLE}", *WITHOUT_TESTS)


def write_players(lake: HandLake, count: int) -> None:
    """Write players of an experiment with three variants and of one that the seed lists."""
    rng = random.Random(7)  # noqa: S311
    for number in range(count):
        player, exposed = f"p{number}", FIRST + rng.randrange(3) * DAY
        # The seed intends two equal variants, and most players see one of them.
        for experiment, names in (
            ("trio", "abc"),
            ("menu_2", ("old_menu", "new_menu", "new_menu")),
        ):
            shown = {"experiment_id": experiment, "user_id": player}
            for variant in rng.sample(names, 2 if number % 50 == 0 else 1):
                lake.event(exposed, "experiment_exposure", variant=variant, **shown)
        bias = rng.random()
        for day in range(-15, 10):
            at = exposed + day * DAY
            if rng.random() < bias * 0.5:
                lake.event(at + rng.randrange(3_600), user_id=player)
            if rng.random() < bias * 0.1:
                price = rng.choice((0, 0.99, 4.99, 19.99))
                _buy(lake, at, player, price, f"t{number}-{day}")
                if rng.random() < 0.3:
                    refund = {"transaction_id": f"t{number}-{day}", "user_id": player}
                    lake.event(at + 8 * DAY, "iap_refund", **refund)
    _buy(lake, FIRST + 2 * DAY, "p3", 10**12, "huge")


def _buy(lake: HandLake, at: int, player: str, price: float, transaction: str) -> None:
    lake.event(
        at,
        "iap_transaction",
        event_id=f"purchase {transaction}",
        user_id=player,
        currency_type="USD",
        currency_amount=price,
        transaction_id=transaction,
    )


def add_late(lake: Path, number: int, write: Callable[[HandLake], object]) -> None:
    """Add a further file to the partitions of some events."""
    late = HandLake(lake.parent / f"late_{number}")
    write(late)
    for path in late.write().rglob("*.parquet"):
        target = lake / path.relative_to(late.root).with_name(f"late-{number}.parquet")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def late_money(late: HandLake) -> None:
    """Add a purchase in a window and one in the 14 days before a window."""
    _buy(late, FIRST + 5 * DAY, "p1", 7, "late")
    _buy(late, FIRST - 9 * DAY, "p2", 9, "early")


def late_exposures(late: HandLake) -> None:
    """Show another variant to one player, and an earlier exposure to two other players.

    Variant `0` is the first by name, and its only player is excluded. The seed does not list `neu`.
    """
    for event_id, at, player, variant, experiment in (
        ("second", FIRST + 3 * DAY, "p1", "z", "trio"),
        ("earlier", FIRST - DAY, "p4", "a", "trio"),
        ("excluded", FIRST - DAY, "p5", "0", "trio"),
        ("unlisted", FIRST - DAY, "new", "neu", "menu_2"),
    ):
        late.event(
            at,
            "experiment_exposure",
            event_id=event_id,
            experiment_id=experiment,
            user_id=player,
            variant=variant,
        )


def later_day(late: HandLake) -> None:
    """Add a day, by which the windows of later exposures end, and a refund in a window."""
    late.event(FIRST + 20 * DAY, event_id="last", user_id="p5")
    late.event(
        FIRST + 2 * DAY,
        "iap_refund",
        event_id="refund",
        transaction_id="late",
        currency_type="USD",
        currency_amount=3,
    )


def report(warehouse: Warehouse) -> list[Row]:
    """The rows of the report, which must be those of the oracle."""
    rows = warehouse.rows(f"marts.{TABLE}")
    expected = compute(warehouse.lake, today=datetime.now(UTC).date())[TABLE]
    lines = difference(rows, expected, KEYS[TABLE], RATE_TOLERANCE, RELATIVE_TOLERANCES[TABLE])
    assert not lines, "\n".join(lines[:20])
    return sorted(rows, key=lambda row: tuple(str(row[column]) for column in KEYS[TABLE]))


def test_the_report_equals_the_oracle_after_each_late_event(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    write_players(lake, 150)
    lake.write()
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*REPORT)
    before = report(warehouse)
    assert {row["experiment_id"] for row in before} == {"trio", "menu_2"}
    for column in ("p_value", "sequential_p_value", "cuped_p_value", "lift_p_value"):
        assert sum(row[column] is not None for row in before) >= 8, column
    assert any(row["has_sample_ratio_mismatch"] for row in before)
    for number, write in enumerate((late_money, late_exposures, later_day)):
        add_late(lake.root, number, write)
        warehouse.build(*REPORT)
        after = report(warehouse)
        assert after != before, write.__name__
        before = after
