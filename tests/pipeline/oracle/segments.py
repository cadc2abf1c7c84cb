"""Retention and lifetime value of cohorts by segment."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal

from tests.pipeline.oracle.events import Table
from tests.pipeline.oracle.lake import Row
from tests.pipeline.oracle.money import UNKNOWN, ZERO, Rates
from tests.pipeline.oracle.players import Player, PlayerDay, PlayerTotals
from tests.pipeline.oracle.reports import AGE_DAYS, RETENTION_DAYS, Span
from tests.pipeline.oracle.values import amount, currency, given, iso_day, money, money_per, ratio

SEGMENTS = ("platform", "country", "acquisition_channel", "campaign_id")

Cohort = tuple[str, date, str, str]
"""Application, cohort day, segment and value."""


def campaign_spend(rows: Iterable[Row], rates: Rates) -> dict[tuple[date, str], Decimal]:
    """Spend by day and campaign, rounded; rows without a campaign or a rate are left out."""
    sums: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        day, original = iso_day(row.get("date")), amount(given(row.get("amount")))
        campaign = given(row.get("campaign_id")) or UNKNOWN
        if day and original is not None and campaign != UNKNOWN:
            code = currency(given(row.get("currency")), None) or rates.reporting
            converted = rates.converted(original, code, day)
            if converted is not None:
                sums[day, campaign] += converted
    return {key: money(value) for key, value in sums.items()}


def _cohorts(
    reported: Mapping[str, Span], players: Mapping[Player, PlayerTotals]
) -> dict[Cohort, list[Player]]:
    """The players of each cohort up to the as-of day, by segment and value."""
    found: dict[Cohort, list[Player]] = defaultdict(list)
    for player, known in players.items():
        span, first = reported.get(player[0]), known.first_seen_date
        if span and first and first <= span.as_of:
            for segment in SEGMENTS:
                found[player[0], first, segment, known.value(segment)].append(player)
    return found


def _ages(
    days: Iterable[PlayerDay], reported: Mapping[str, Span], players: Mapping[Player, PlayerTotals]
) -> dict[Player, dict[int, PlayerDay]]:
    """The days of each player by age, up to the as-of day."""
    found: dict[Player, dict[int, PlayerDay]] = defaultdict(dict)
    for day in days:
        span, first = reported.get(day.application_id), players[day.player].first_seen_date
        if span and first and day.activity_date <= span.as_of:
            found[day.player][(day.activity_date - first).days] = day
    return found


def rpt_retention_by_segment(
    days: list[PlayerDay], reported: Mapping[str, Span], players: Mapping[Player, PlayerTotals]
) -> Table:
    """One row per application, cohort day, segment, value and N."""
    ages = _ages(days, reported, players)
    rows: Table = []
    for cohort, own in _cohorts(reported, players).items():
        application, cohort_date, segment, value = cohort
        active = [{age for age, day in ages[player].items() if day.is_active} for player in own]
        for n in RETENTION_DAYS:
            mature = cohort_date + timedelta(n) <= reported[application].as_of
            until = set(range(1, n + 1))
            counts = {
                "classic": sum(n in offsets for offsets in active),
                "rolling": sum(max(offsets) >= n for offsets in active),
                "return": sum(bool(until & offsets) for offsets in active),
                "full": sum(until <= offsets for offsets in active),
            }
            row: dict[str, object] = {
                "application_id": application,
                "cohort_date": cohort_date,
                "segment_name": segment,
                "segment_value": value,
                "day_n": n,
                "cohort_size": len(own),
                "is_mature": mature,
            }
            for kind, count in counts.items():
                row[f"{kind}_players"] = count
                row[f"{kind}_rate"] = ratio(count, len(own)) if mature else None
            rows.append(row)
    return rows


def rpt_ltv_by_segment(
    days: list[PlayerDay],
    reported: Mapping[str, Span],
    players: Mapping[Player, PlayerTotals],
    spend: Mapping[str, Mapping[tuple[date, str], Decimal]],
) -> Table:
    """One row per application, cohort day, segment, value and age.

    `spend` has the spend by day and value of each segment that has spend.
    """
    ages = _ages(days, reported, players)
    cohorts = _cohorts(reported, players)
    installs: Counter[tuple[date, str, str]] = Counter()
    for (_, cohort_date, segment, value), own in cohorts.items():
        installs[cohort_date, segment, value] += len(own)
    rows: Table = []
    for (application, cohort_date, segment, value), own in cohorts.items():
        spent = spend.get(segment, {}).get((cohort_date, value))
        if spent is not None:
            spent = money(spent * len(own) / installs[cohort_date, segment, value])
        for n in AGE_DAYS:
            mature = cohort_date + timedelta(n) <= reported[application].as_of
            revenue = sum(
                (
                    day.revenue
                    for player in own
                    for age, day in ages[player].items()
                    if 0 <= age <= n
                ),
                ZERO,
            )
            rows.append(
                {
                    "application_id": application,
                    "cohort_date": cohort_date,
                    "segment_name": segment,
                    "segment_value": value,
                    "age_days": n,
                    "cohort_size": len(own),
                    "cumulative_revenue": revenue,
                    "ltv": money_per(revenue, len(own)) if mature else None,
                    "spend": spent,
                    "roas": ratio(revenue, spent) if mature else None,
                    "is_mature": mature,
                }
            )
    return rows
