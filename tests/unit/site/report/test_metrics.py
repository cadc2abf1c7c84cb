"""The arithmetic of the report's figures."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.site.report import metrics
from include.site.report.metrics import Over, change, figure, ratio, total
from include.site.report.periods import Coverage, Period

LAST = date(2026, 11, 29)


def _days(column: str, *values: Any) -> list[dict[str, Any]]:
    """Rows of the days that end with LAST, the oldest first."""
    first = LAST.toordinal() - len(values) + 1
    return [
        {"day": date.fromordinal(first + place), column: value}
        for place, value in enumerate(values)
    ]


def test_a_ratio_over_a_period_is_the_ratio_of_the_sums() -> None:
    rows = [
        {"day": date(2026, 11, 28), "payers": 1, "dau": 1},
        {"day": LAST, "payers": 1, "dau": 99},
    ]
    found = metrics.value(metrics.CONVERSION, rows, Period(7, LAST, LAST))
    # The mean of the ratios would be 0.505.
    assert found == pytest.approx(0.02)


def test_money_is_divided_exactly_and_rounded_half_away_from_zero() -> None:
    assert ratio(Decimal("0.00045"), 3, money=True) == Decimal("0.0002")
    assert ratio(Decimal("-0.00045"), 3, money=True) == Decimal("-0.0002")
    huge = Decimal("99999999999999.9999") * 10**9
    assert ratio(huge, 3, money=True) == Decimal("33333333333333333300000.0000")


def test_a_sum_of_money_keeps_every_digit() -> None:
    rows = [{"x": Decimal("99999999999999.9999")}] * 100_000
    assert total(rows, "x") == Decimal("9999999999999999990.0000")


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    assert total([{"x": 1}, {"x": None}], "x") is None
    assert total([], "x") is None
    assert ratio(None, 1, money=False) is None


def test_a_ratio_with_nothing_to_divide_by_is_unknown() -> None:
    assert ratio(1, 0, money=False) is None
    assert ratio(Decimal(1), Decimal("0.0000"), money=True) is None


def test_wau_and_mau_of_a_period_are_those_of_its_last_day() -> None:
    rows = _days("mau", 5, 900, 7)
    found = figure(metrics.MAU, rows, Period(7, LAST, date(2026, 1, 1)))
    assert found.now == 7


def test_the_previous_period_ends_on_the_day_before() -> None:
    rows = _days("new_players", *range(1, 15))
    found = figure(metrics.NEW_PLAYERS, rows, Period(7, LAST, date(2026, 1, 1)))
    assert (found.before, found.now) == (sum(range(1, 8)), sum(range(8, 15)))
    assert found.change is not None
    assert found.change.amount == pytest.approx((77 - 28) / 28)


def test_an_average_divides_by_the_days_that_are_known() -> None:
    found = figure(metrics.DAU, _days("dau", 10, 0, 20), Period(7, LAST, date(2026, 11, 27)))
    assert found.now == 10
    assert found.coverage == Coverage(3, 7)


def test_an_incomplete_period_has_no_change() -> None:
    rows = _days("new_players", *[1] * 13)
    found = figure(metrics.NEW_PLAYERS, rows, Period(7, LAST, rows[0]["day"]))
    assert (found.now, found.before) == (7, 6)
    assert found.coverage.is_complete
    assert found.coverage_before == Coverage(6, 7)
    assert found.change is None


def test_a_window_needs_days_before_the_period() -> None:
    first = date(2026, 11, 20)
    period = Period(7, LAST, first)
    # MAU of the last day looks back on 30 days, of which the mart has 10.
    assert metrics.coverage(metrics.MAU, period) == Coverage(10, 30)
    assert metrics.coverage(metrics.WAU, period) == Coverage(7, 7)
    # Stickiness divides by MAU of each of the 7 days.
    assert metrics.coverage(metrics.STICKINESS, period) == Coverage(10, 36)
    assert metrics.coverage(metrics.DAU, period) == Coverage(7, 7)


@pytest.mark.parametrize(
    ("now", "before", "amount"),
    [
        (150, 100, 0.5),
        (Decimal("-50"), Decimal("-100"), 0.5),
        (Decimal("50"), Decimal("-100"), 1.5),
        (0, 0, 0.0),
        (0.3, 0.1, 2.0),
    ],
)
def test_a_change_is_relative_to_the_size_of_the_previous_figure(
    now: Any, before: Any, amount: float
) -> None:
    found = change(now, before, "money", "more")
    assert found is not None
    assert found.amount == pytest.approx(amount)
    assert not found.is_difference


def test_a_change_of_a_rate_is_a_difference() -> None:
    found = change(0.25, 0.2, "rate", "more")
    assert found is not None
    assert found.amount == pytest.approx(0.05)
    assert found.is_difference
    assert found.judgement == "good"


def test_a_rise_from_nothing_and_an_unknown_figure_have_no_change() -> None:
    assert change(5, 0, "count") is None
    assert change(None, 5, "count") is None
    assert change(5, None, "count") is None


def test_fewer_refunds_are_good_and_a_change_of_winnings_is_neither() -> None:
    fewer = change(Decimal(1), Decimal(2), "money", metrics.REFUNDS.better)
    winnings = change(Decimal(1), Decimal(2), "money", metrics.WINNINGS.better)
    assert fewer is not None
    assert winnings is not None
    assert (fewer.judgement, winnings.judgement) == ("good", "")


def test_every_metric_says_how_its_period_is_made() -> None:
    for metric in metrics.ALL:
        assert (metric.over in {Over.RATIO, Over.COHORTS}) == bool(metric.denominator), metric.key
    assert len({metric.key for metric in metrics.ALL}) == len(metrics.ALL)
