"""The periods and what the marts hold of them."""

from __future__ import annotations

from datetime import date

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.site.report.periods import Coverage, Period

LAST = date(2026, 3, 2)


def test_a_period_and_the_previous_one_touch_and_are_of_the_same_length() -> None:
    period = Period(7, LAST, date(2020, 1, 1))
    assert (period.first, period.previous.last) == (date(2026, 2, 24), date(2026, 2, 23))
    assert (period.previous.first, period.previous.days) == (date(2026, 2, 17), 7)
    assert len(period.dates) == 7
    assert period.has(period.first)
    assert not period.has(period.previous.last)


@pytest.mark.parametrize(
    ("first_known", "now", "before"),
    [
        (date(2020, 1, 1), Coverage(7, 7), Coverage(7, 7)),
        (date(2026, 2, 18), Coverage(7, 7), Coverage(6, 7)),
        (LAST, Coverage(1, 7), Coverage(0, 7)),
        (date(2026, 3, 3), Coverage(0, 7), Coverage(0, 7)),
    ],
)
def test_the_known_days_of_a_period_are_counted(
    first_known: date, now: Coverage, before: Coverage
) -> None:
    period = Period(7, LAST, first_known)
    assert period.coverage() == now
    assert period.previous.coverage() == before


def test_a_cohort_has_a_day_30_only_30_days_after_the_first_day() -> None:
    period = Period(28, LAST, date(2026, 1, 10))
    assert period.coverage() == Coverage(28, 28)
    assert period.starting(30).coverage() == Coverage(22, 28)


def test_weeks_are_counted_from_the_end_of_a_period() -> None:
    blocks = Period(90, LAST, date(2020, 1, 1)).blocks(7)
    assert blocks[-1] == (date(2026, 2, 24), LAST)
    assert [(last - first).days + 1 for first, last in blocks] == [6, *[7] * 12]
    assert len(Period(7, LAST, LAST).blocks(1)) == 7
