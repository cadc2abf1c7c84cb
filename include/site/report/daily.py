"""Charts with a point for each day of a period, or for each week of a long one.

The point of a week is the average per day of a count or of money, the quotient of the week's sums
for a ratio, and the value of the last day for WAU and MAU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from include.site.report import formats
from include.site.report.charts import Chart, Series, chart
from include.site.report.metrics import Metric, Number, Row, quotient_of, ratio, total
from include.site.report.periods import WEEK, Period
from include.site.report.scales import day_ticks

MOST_DAYS = 28
"""A longer period has a point per week, because single days vary too much to show a trend."""

Point = Callable[[Sequence[Row]], Number | None]
"""Makes the value of a point of the rows of its days."""


@dataclass(frozen=True)
class DailySeries:
    """A series of rows with the day in `day`, of the period or of the previous one."""

    label: str
    style: str
    point: Point
    rows: Sequence[Row]
    is_previous: bool = False

    def over(self, period: Period) -> Series:
        """The series with the values of the period. A point without rows has no value."""
        each = period.previous if self.is_previous else period
        values = []
        for first, last_day in each.blocks(block_days(period)):
            within = [row for row in self.rows if first <= row["day"] <= last_day]
            values.append(self.point(within) if within else None)
        return Series(self.label, self.style, values)


def block_days(period: Period) -> int:
    """The number of days of a point."""
    return 1 if period.days <= MOST_DAYS else WEEK


def per_day(column: str, sign: int = 1) -> Point:
    """The average per day; of a single day the value itself."""

    def point(rows: Sequence[Row]) -> Number | None:
        found = total(rows, column)
        if found is None:
            return None
        if len(rows) > 1:
            found = ratio(found, len(rows), money=isinstance(found, Decimal))
        # The addition turns a negative zero into zero.
        return None if found is None else found * sign + 0

    return point


def last(column: str) -> Point:
    """The value of the last day."""

    def point(rows: Sequence[Row]) -> Number | None:
        newest: Row = max(rows, key=lambda row: row["day"])
        return total([newest], column)

    return point


def ratio_of(metric: Metric) -> Point:
    """The quotient of the sums."""
    return lambda rows: quotient_of(metric, rows)


def daily_chart(
    title: str,
    period: Period,
    form: str,
    *,
    lines: Sequence[DailySeries] = (),
    columns: Sequence[DailySeries] = (),
    unit: str = "",
) -> Chart:
    """A chart over the days or weeks of a period."""
    blocks = period.blocks(block_days(period))
    is_weekly = block_days(period) > 1
    if is_weekly and form == "count":
        form = "average"
    return chart(
        title,
        [formats.short_days(first, last_day) for first, last_day in blocks],
        form,
        lines=[series.over(period) for series in lines],
        columns=[series.over(period) for series in columns],
        ticks_at={place: formats.day(blocks[place][1]) for place in _ticks(len(blocks), is_weekly)},
        point="Week" if is_weekly else "Day",
        unit=unit,
        note="Each point is a week: the average per day, the quotient of the sums, or for WAU and "
        "MAU the last day."
        if is_weekly
        else "",
    )


def _ticks(count: int, is_weekly: bool) -> Sequence[int]:
    return range(count - 1, -1, -3)[::-1] if is_weekly else day_ticks(count)


def filled(
    rows: Sequence[Row], first: date, last: date, counts: Sequence[str], money: Sequence[str] = ()
) -> list[Row]:
    """The rows with a row of zeros for each day between `first` and `last` that has none.

    A day without bets or files has no row in its mart.
    """
    zeros = {**dict.fromkeys(counts, 0), **dict.fromkeys(money, Decimal(0))}
    there = {row["day"]: row for row in rows}
    days = Period((last - first).days + 1, last, first).dates
    return [there.get(day, {"day": day, **zeros}) for day in days]
