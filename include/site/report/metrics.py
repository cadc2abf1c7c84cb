"""The metrics of the report: how the figure of a period is made of the rows of a mart.

A ratio over a period is the ratio of the sums, never the mean of ratios. A sum with an unknown part
is unknown, as in the marts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from enum import Enum
from typing import Any

from include.site.report.periods import Coverage, Period

Number = int | float | Decimal
Row = Mapping[str, Any]

MONEY_PLACES = Decimal("0.0001")
"""The marts hold money with four decimals."""
DIGITS = 60
"""Sums of decimal(18, 4) have fewer digits; Python's default of 28 would round them."""


class Over(Enum):
    """How the figure of a period is made of its days. The value is a sentence for the reader."""

    MEAN = "The figure of a period is the average over its days."
    SUM = "The figure of a period is the sum over its days."
    LAST = "The figure of a period is the one of its last day."
    RATIO = "The figure of a period divides the sum of {numerator} by the sum of {denominator}."
    PLAYERS = "The figure of a period counts each player once who has it on one of its days."
    COHORTS = (
        "The figure of a period is over the cohorts whose day N falls into it: the sum of "
        "{numerator} divided by the sum of {denominator}."
    )


@dataclass(frozen=True)
class Metric:
    """A metric of a mart.

    `column` names the column whose description is the definition. `numerator` and `denominator`
    are the columns that a ratio sums. `window` is the number of days that the column itself looks
    back on, the day included. `better` is the direction that is good: `more`, `less` or empty.
    `form` is `count`, `average`, `money`, `unit_money` or `rate`.
    """

    mart: str
    column: str
    label: str
    form: str
    over: Over
    numerator: str = ""
    denominator: str = ""
    window: int = 1
    better: str = "more"

    @property
    def key(self) -> str:
        """Identifies the metric in the page."""
        return f"{self.mart}.{self.column}"


def total(rows: Iterable[Row], column: str) -> Number | None:
    """The sum of a column; None if there is no row, or if a value is unknown."""
    values = [row[column] for row in rows]
    if not values or any(value is None for value in values):
        return None
    if any(isinstance(value, Decimal) for value in values):
        with localcontext(prec=DIGITS):
            return sum((Decimal(value) for value in values), Decimal(0))
    summed: Number = sum(values)
    return summed


def ratio(numerator: Number | None, denominator: Number | None, *, money: bool) -> Number | None:
    """The quotient; None if a part is unknown or the denominator is 0.

    Money is divided exactly and rounded to four decimals, half away from zero, as in the marts.
    """
    if numerator is None or denominator is None or not denominator:
        return None
    if money:
        with localcontext(prec=DIGITS):
            quotient = Decimal(numerator) / Decimal(denominator)
            return quotient.quantize(MONEY_PLACES, ROUND_HALF_UP)
    found = float(numerator) / float(denominator)
    return found if math.isfinite(found) else None


def value(metric: Metric, rows: Sequence[Row], period: Period) -> Number | None:
    """The figure of a period. `rows` are the rows of its days, with the day in `day`."""
    if metric.over is Over.LAST:
        return total((row for row in rows if row["day"] == period.last), metric.column)
    if metric.over is Over.MEAN:
        return ratio(total(rows, metric.column), len({row["day"] for row in rows}), money=False)
    if metric.over is Over.SUM:
        return total(rows, metric.column)
    return quotient_of(metric, rows)


def quotient_of(metric: Metric, rows: Sequence[Row]) -> Number | None:
    """The sum of the metric's numerator divided by the sum of its denominator."""
    return ratio(
        total(rows, metric.numerator),
        total(rows, metric.denominator),
        money="money" in metric.form,
    )


@dataclass(frozen=True)
class Change:
    """The change from the previous period.

    `amount` is a share of the previous figure, or for rates a difference of shares. `judgement` is
    `good`, `bad` or empty.
    """

    amount: float
    is_difference: bool
    judgement: str


@dataclass(frozen=True)
class Figure:
    """A metric of a period, with the previous period."""

    metric: Metric
    now: Number | None
    before: Number | None
    coverage: Coverage
    coverage_before: Coverage

    @property
    def change(self) -> Change | None:
        """The change; None if a figure is unknown or its period incomplete."""
        if not (self.coverage.is_complete and self.coverage_before.is_complete):
            return None
        return change(self.now, self.before, self.metric.form, self.metric.better)


def change(now: Number | None, before: Number | None, form: str, better: str = "") -> Change | None:
    """The change between two figures; None if one is unknown, or if there is nothing to divide by.

    The base of a relative change is the absolute value of the previous figure, so that a rise from
    a negative figure is positive.
    """
    if now is None or before is None:
        return None
    is_difference = form == "rate"
    if is_difference:
        amount = float(now) - float(before)
    elif before:
        with localcontext(prec=DIGITS):
            amount = float((_exact(now) - _exact(before)) / abs(_exact(before)))
    elif not now:
        amount = 0.0
    else:
        return None
    judgement = ""
    if better and amount:
        judgement = "good" if (amount > 0) == (better == "more") else "bad"
    return Change(amount, is_difference, judgement)


def _exact(number: Number) -> Decimal:
    return Decimal(number) if isinstance(number, int | Decimal) else Decimal(repr(number))


def figure(metric: Metric, rows: Sequence[Row], period: Period) -> Figure:
    """The figure of a metric from rows of both periods, with the day in `day`."""
    found = []
    for each in (period, period.previous):
        within = [row for row in rows if each.has(row["day"])]
        found.append((value(metric, within, each), coverage(metric, each)))
    (now, covered), (before, covered_before) = found
    return Figure(metric, now, before, covered, covered_before)


def coverage(metric: Metric, period: Period) -> Coverage:
    """The days that a figure needs: those of the period, and those that its column looks back on.

    A figure of the last day needs the days of its window alone.
    """
    if metric.over is Over.LAST:
        return Period(metric.window, period.last, period.first_known).coverage()
    return period.coverage(metric.window - 1)


KPIS, BETTING, HEALTH = "rpt_daily_kpis", "rpt_betting", "rpt_data_health"
PLAYER_DAYS, RETENTION, LTV = "fct_player_days", "rpt_retention", "rpt_ltv"

DAU = Metric(KPIS, "dau", "Average DAU", "average", Over.MEAN)
WAU = Metric(KPIS, "wau", "WAU", "count", Over.LAST, window=7)
MAU = Metric(KPIS, "mau", "MAU", "count", Over.LAST, window=30)
STICKINESS = Metric(KPIS, "stickiness", "Stickiness", "rate", Over.RATIO, "dau", "mau", 30)
NEW_PLAYERS = Metric(KPIS, "new_players", "New players", "count", Over.SUM)
SESSIONS = Metric(
    KPIS, "sessions_per_dau", "Sessions per DAU", "ratio", Over.RATIO, "session_count", "dau"
)
ACTIVITY = (DAU, WAU, MAU, STICKINESS, NEW_PLAYERS, SESSIONS)

REVENUE = Metric(KPIS, "revenue", "Revenue", "money", Over.SUM)
IAP = Metric(KPIS, "iap_revenue", "In-app purchases", "money", Over.SUM)
ADS = Metric(KPIS, "ad_revenue", "Ads", "money", Over.SUM)
REFUNDS = Metric(KPIS, "refunds", "Refunds", "money", Over.SUM, better="less")
ARPDAU = Metric(KPIS, "arpdau", "ARPDAU", "unit_money", Over.RATIO, "revenue", "dau")
ARPPU = Metric(KPIS, "arppu", "ARPPU", "unit_money", Over.RATIO, "iap_revenue", "payers")
PAYERS = Metric(PLAYER_DAYS, "is_payer", "Payers", "count", Over.PLAYERS)
CONVERSION = Metric(
    KPIS, "payer_conversion", "Payer conversion", "rate", Over.RATIO, "payers", "dau"
)
MONEY = (REVENUE, ARPDAU, PAYERS, CONVERSION, ARPPU, IAP, ADS, REFUNDS)

KINDS = ("classic", "rolling", "return", "full")
RETAINED = {
    kind: Metric(
        *(RETENTION, f"{kind}_rate", f"{kind.capitalize()} retention", "rate", Over.COHORTS),
        *(f"{kind}_players", "cohort_size"),
    )
    for kind in KINDS
}
LIFETIME_VALUE = Metric(
    *(LTV, "ltv", "LTV", "unit_money", Over.COHORTS, "cumulative_revenue", "cohort_size")
)
ROAS = Metric(LTV, "roas", "ROAS", "rate", Over.COHORTS, "cumulative_revenue", "spend")

TURNOVER = Metric(BETTING, "turnover", "Turnover", "money", Over.SUM)
WINNINGS = Metric(BETTING, "winnings", "Winnings", "money", Over.SUM, better="")
GGR = Metric(BETTING, "ggr", "GGR", "money", Over.SUM)
NGR = Metric(BETTING, "ngr", "NGR", "money", Over.SUM)
RTP = Metric(BETTING, "rtp", "RTP", "rate", Over.RATIO, "winnings", "turnover", better="")
HOLD = Metric(BETTING, "hold", "Hold", "rate", Over.RATIO, "ggr", "turnover", better="")
BETS = Metric(BETTING, "bet_count", "Bets", "count", Over.SUM)
UNSETTLED = Metric(BETTING, "unsettled_wager_count", "Open wagers", "count", Over.SUM, better="")
BETS_AND_MONEY = (GGR, NGR, TURNOVER, WINNINGS, RTP, HOLD, BETS, UNSETTLED)
BY_GAME = (GGR, NGR, RTP, TURNOVER, BETS)

HEALTH_MEASURES = tuple(
    Metric(HEALTH, f"{name}_count", label, "count", Over.SUM, better=better)
    for name, label, better in (
        ("landed", "Landed rows", ""),
        ("rejected", "Rejected records", "less"),
        ("schema_mismatch", "Rows that are not valid", "less"),
        ("duplicate", "Duplicates", "less"),
        ("repeated_across_days", "Repeated on other days", "less"),
        ("late_1_day", "Late by 1 day", "less"),
        ("late_2_to_7_days", "Late by 2 to 7 days", "less"),
        ("late_over_7_days", "Late by over 7 days", "less"),
        ("unknown_type", "Unknown event types", "less"),
        ("null_player", "Without a player", "less"),
        ("shared_transaction", "Shared transaction ids", "less"),
        ("unknown_refund", "Refunds without a purchase", "less"),
        ("excess_refund", "Refunds above the purchase", "less"),
    )
)
ALL = (
    *(*ACTIVITY, *MONEY, *RETAINED.values(), LIFETIME_VALUE, ROAS),
    *(*BETS_AND_MONEY, *HEALTH_MEASURES),
)
