"""The periods of the report: the last 7, 28 or 90 days, and how much of them the marts hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

PERIODS = (7, 28, 90)
"""The lengths of the periods in days."""
SHOWN_FIRST = 28
WEEK = 7
HISTORY_DAYS = 2 * max(PERIODS)
"""The longest period and the one before it."""


@dataclass(frozen=True)
class Coverage:
    """How many of the days that a figure needs are in the mart."""

    covered: int
    needed: int

    @property
    def is_complete(self) -> bool:
        """Whether no day is missing."""
        return self.covered >= self.needed


@dataclass(frozen=True)
class Period:
    """`days` UTC days that end with `last`. The mart's first day is `first_known`."""

    days: int
    last: date
    first_known: date

    @property
    def first(self) -> date:
        """The first day of the period."""
        return self.last - timedelta(days=self.days - 1)

    @property
    def previous(self) -> Period:
        """The period of the same length that ends on the day before this one."""
        return replace(self, last=self.first - timedelta(days=1))

    @property
    def dates(self) -> list[date]:
        """The days of the period, whether or not the mart holds them."""
        return [self.first + timedelta(days=number) for number in range(self.days)]

    def blocks(self, length: int) -> list[tuple[date, date]]:
        """The first and last days of blocks of `length` days, the oldest first.

        They are counted from the end, so the oldest block can be shorter.
        """
        found = []
        last = self.last
        while last >= self.first:
            first = max(last - timedelta(days=length - 1), self.first)
            found.append((first, last))
            last = first - timedelta(days=1)
        return found[::-1]

    def has(self, day: date) -> bool:
        """Whether a day belongs to the period."""
        return self.first <= day <= self.last

    def coverage(self, days_before: int = 0) -> Coverage:
        """The days that the mart holds of the period and of `days_before` days before it."""
        first = self.first - timedelta(days=days_before)
        covered = (self.last - max(first, self.first_known)).days + 1
        return Coverage(max(covered, 0), self.days + days_before)

    def starting(self, days: int) -> Period:
        """The same period of data that begins later: cohorts have a day N only after N days."""
        return replace(self, first_known=self.first_known + timedelta(days=days))
