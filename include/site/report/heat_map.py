"""The rows of the cohort heat map: cohorts of a day, or of a week for the longer periods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from include.site.report import formats
from include.site.report.metrics import Number, Row, ratio, total
from include.site.report.periods import WEEK, Period

LEVELS = 7
"""The number of colours."""


@dataclass(frozen=True)
class Cell:
    """Classic retention of the row's cohorts on day N; without a rate if no day N has ended.

    `is_partial` says that day N of some of the row's cohorts has not ended, so they do not count.
    """

    rate: Number | None
    players: Number | None
    size: Number | None
    is_partial: bool

    @property
    def level(self) -> int:
        """The colour: steps of the square root, which keeps low rates apart."""
        return 0 if self.rate is None else min(int(math.sqrt(self.rate) * LEVELS), LEVELS - 1)


@dataclass(frozen=True)
class HeatRow:
    """The cohorts of a day or week, with the players in them."""

    label: str
    is_previous: bool
    size: Number | None
    cells: Sequence[Cell]


def rows(cohorts: Sequence[Row], numbers: Sequence[int], period: Period) -> list[HeatRow]:
    """The rows of a period and of the previous one, the newest cohorts first.

    `cohorts` are rows of `rpt_retention` with `cohort_day` and `n`, mature or not.
    """
    found = []
    for each, is_previous in ((period, False), (period.previous, True)):
        for first, last in reversed(each.blocks(1 if each.days <= WEEK else WEEK)):
            if last < period.first_known:
                continue
            within = [row for row in cohorts if first <= row["cohort_day"] <= last]
            sizes = [row for row in within if row["n"] == numbers[0]]
            found.append(
                HeatRow(
                    formats.short_days(first, last),
                    is_previous,
                    total(sizes, "cohort_size") or 0,
                    [_cell(within, number, last, period.last) for number in numbers],
                )
            )
    return found


def _cell(within: Sequence[Row], number: int, last: date, as_of: date) -> Cell:
    mature = [row for row in within if row["n"] == number and row["is_mature"]]
    players, size = total(mature, "classic_players"), total(mature, "cohort_size")
    return Cell(
        rate=ratio(players, size, money=False),
        players=players,
        size=size,
        is_partial=last + timedelta(days=number) > as_of,
    )
