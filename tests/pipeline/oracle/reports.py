"""The reports over player-days: daily KPIs, retention and lifetime value."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from tests.pipeline.oracle.events import DAY, Event, Table
from tests.pipeline.oracle.money import ZERO, share_of_spend
from tests.pipeline.oracle.players import (
    SEGMENTS,
    Player,
    PlayerDay,
    PlayerTotals,
    segment_value,
)
from tests.pipeline.oracle.values import money_per, ratio

RETENTION_DAYS = (1, 3, 7, 14, 30, 60, 90)
AGE_DAYS = (0, 1, 3, 7, 14, 30, 60, 90, 180)
MEASURES = ("classic", "rolling", "return", "full")


class Span(NamedTuple):
    """The first day and the as-of day of an application."""

    first: date
    as_of: date

    def days(self) -> list[date]:
        """Every day, the as-of day included."""
        return [self.first + n * DAY for n in range((self.as_of - self.first).days + 1)]


def spans(events: Iterable[Event], today: date, as_of: date | None) -> dict[str, Span]:
    """From each application's first day to its last day with events that has ended."""
    days: dict[str, set[date]] = defaultdict(set)
    for event in events:
        days[event.application_id].add(event.event_date)
    found = {}
    for application, own in days.items():
        ended = [day for day in own if day < today]
        last = as_of or max(ended, default=None)
        if last and min(own) <= last:
            found[application] = Span(min(own), last)
    return found


def _kpis(
    days: Iterable[PlayerDay], span: Span, players: Mapping[Player, PlayerTotals]
) -> Iterable[dict[str, object]]:
    """One row of KPIs for each day of the span, over the given player-days."""
    by_date: dict[date, list[PlayerDay]] = defaultdict(list)
    active: dict[date, set[Player]] = defaultdict(set)
    for day in days:
        by_date[day.activity_date].append(day)
        if day.is_active:
            active[day.activity_date].add(day.player)

    def actives(until: date, trailing: int) -> int:
        return len(set().union(*(active[until - n * DAY] for n in range(trailing))))

    for kpi_date in span.days():
        own = by_date[kpi_date]
        dau, mau = actives(kpi_date, 1), actives(kpi_date, 30)
        new = sum(players[day.player].first_seen_date == kpi_date for day in own)
        sessions = sum(day.session_count for day in own)
        iap_revenue = sum((day.iap_revenue for day in own), ZERO)
        revenue = sum((day.revenue for day in own), ZERO)
        payers = sum(day.is_payer for day in own)
        yield {
            "kpi_date": kpi_date,
            "dau": dau,
            "wau": actives(kpi_date, 7),
            "mau": mau,
            "stickiness": ratio(dau, mau),
            "new_players": new,
            "returning_players": dau - new,
            "session_count": sessions,
            "sessions_per_dau": ratio(sessions, dau),
            "playtime_seconds": sum(day.playtime_seconds for day in own),
            "iap_revenue": iap_revenue,
            "ad_revenue": sum((day.ad_revenue for day in own), ZERO),
            "refunds": sum((day.refunds for day in own), ZERO),
            "revenue": revenue,
            "payers": payers,
            "first_time_payers": sum(day.is_first_time_payer for day in own),
            "payer_conversion": ratio(payers, dau),
            "arpdau": money_per(revenue, dau),
            "arppu": money_per(iap_revenue, payers),
        }


def rpt_daily_kpis(
    days: list[PlayerDay], reported: Mapping[str, Span], players: Mapping[Player, PlayerTotals]
) -> Table:
    """One row per application and day."""
    return [
        {"application_id": application, **row}
        for application, span in reported.items()
        for row in _kpis([day for day in days if day.application_id == application], span, players)
    ]


def rpt_daily_kpis_by_segment(
    days: list[PlayerDay], reported: Mapping[str, Span], players: Mapping[Player, PlayerTotals]
) -> Table:
    """One row per application, segment, value, and day from the value's first to the as-of day."""
    groups: dict[tuple[str, str, str], list[PlayerDay]] = defaultdict(list)
    for day in days:
        span = reported.get(day.application_id)
        if span and day.activity_date <= span.as_of:
            for segment in SEGMENTS:
                value = segment_value(day, segment, players[day.player])
                groups[day.application_id, segment, value].append(day)
    return [
        {
            "application_id": application,
            "segment_name": segment,
            "segment_value": value,
            **row,
        }
        for (application, segment, value), own in groups.items()
        for row in _kpis(own, _since_first(own, reported[application]), players)
    ]


def _since_first(days: Iterable[PlayerDay], span: Span) -> Span:
    return Span(min(day.activity_date for day in days), span.as_of)


def _kept(offsets: set[int], n: int) -> tuple[bool, bool, bool, bool]:
    """Whether a player active on these days after the first is retained, by each measure."""
    return (
        n in offsets,
        any(offset >= n for offset in offsets),
        any(1 <= offset <= n for offset in offsets),
        all(day in offsets for day in range(1, n + 1)),
    )


def _retained(cohort: list[set[int]], n: int, mature: bool) -> dict[str, object]:
    """Counts and rates of a cohort for one N."""
    kept = [_kept(offsets, n) for offsets in cohort]
    counts = {name: sum(flags[place] for flags in kept) for place, name in enumerate(MEASURES)}
    return {f"{name}_players": counts[name] for name in MEASURES} | {
        f"{name}_rate": ratio(counts[name], len(cohort)) if mature else None for name in MEASURES
    }


def retention(
    days: list[PlayerDay], reported: Mapping[str, Span], players: Mapping[Player, PlayerTotals]
) -> tuple[Table, Table]:
    """`rpt_retention` and `rpt_retention_overall`; activity after the as-of day counts nowhere."""
    offsets: dict[Player, set[int]] = defaultdict(set)
    for day in days:
        span, first = reported.get(day.application_id), players[day.player].first_seen_date
        if day.is_active and first and span and day.activity_date <= span.as_of:
            offsets[day.player].add((day.activity_date - first).days)
    cohorts: dict[tuple[str, date], list[set[int]]] = defaultdict(list)
    for player, own in offsets.items():
        first = players[player].first_seen_date
        if first:
            cohorts[player[0], first].append(own)
    rows: Table = []
    overall: Table = []
    for application, span in reported.items():
        own_cohorts = {day: own for (name, day), own in cohorts.items() if name == application}
        for n in RETENTION_DAYS if own_cohorts else ():
            pooled: list[set[int]] = []
            for cohort_date, cohort in own_cohorts.items():
                mature = cohort_date + timedelta(days=n) <= span.as_of
                pooled += cohort if mature else []
                rows.append(
                    {
                        "application_id": application,
                        "cohort_date": cohort_date,
                        "day_n": n,
                        "cohort_size": len(cohort),
                        "is_mature": mature,
                        **_retained(cohort, n, mature),
                    }
                )
            overall.append(
                {
                    "application_id": application,
                    "day_n": n,
                    "cohort_size": len(pooled),
                    **_retained(pooled, n, True),
                }
            )
    return rows, overall


class _Value(NamedTuple):
    """Players, revenue and spend of a cohort, or of several added up."""

    cohort_size: int
    cumulative_revenue: Decimal
    spend: Decimal | None

    def plus(self, other: _Value) -> _Value:
        """Both together."""
        return _Value(
            self.cohort_size + other.cohort_size,
            self.cumulative_revenue + other.cumulative_revenue,
            sum((spend for spend in (self.spend, other.spend) if spend is not None), ZERO)
            if (self.spend, other.spend) != (None, None)
            else None,
        )

    def columns(self, mature: bool) -> dict[str, object]:
        """The published columns; rates only where the cohort had the days for them."""
        return self._asdict() | {
            "ltv": money_per(self.cumulative_revenue, self.cohort_size) if mature else None,
            "roas": ratio(self.cumulative_revenue, self.spend) if mature else None,
        }


def lifetime_value(
    days: list[PlayerDay],
    reported: Mapping[str, Span],
    players: Mapping[Player, PlayerTotals],
    spend: Mapping[tuple[date, str], Decimal],
) -> tuple[Table, Table]:
    """`rpt_ltv` and `rpt_ltv_overall`; revenue after the as-of day counts nowhere."""
    installs: Counter[tuple[str, date, str]] = Counter()
    installs_of_all: Counter[tuple[date, str]] = Counter()
    for (application, _), player in players.items():
        if player.first_seen_date:
            channel = player.value("acquisition_channel")
            installs[application, player.first_seen_date, channel] += 1
            installs_of_all[player.first_seen_date, channel] += 1
    by_age: dict[tuple[str, date, str], dict[int, Decimal]] = defaultdict(
        lambda: defaultdict(Decimal)
    )
    for day in days:
        player, span = players[day.player], reported.get(day.application_id)
        if player.first_seen_date and span and day.activity_date <= span.as_of:
            channel = player.value("acquisition_channel")
            age = (day.activity_date - player.first_seen_date).days
            by_age[day.application_id, player.first_seen_date, channel][age] += day.revenue

    rows: Table = []
    overall: Table = []
    for application, span in reported.items():
        own = [key for key in installs if key[0] == application and key[1] <= span.as_of]
        for age in AGE_DAYS if own else ():
            total = _Value(0, ZERO, None)
            for key in own:
                _, cohort_date, channel = key
                day_and_channel = cohort_date, channel
                size, size_of_all = installs[key], installs_of_all[day_and_channel]
                value = _Value(
                    size,
                    sum((by_age[key][n] for n in list(by_age[key]) if 0 <= n <= age), ZERO),
                    share_of_spend(spend, day_and_channel, size, size_of_all),
                )
                mature = cohort_date + timedelta(days=age) <= span.as_of
                if mature:
                    total = total.plus(value)
                rows.append(
                    {
                        "application_id": application,
                        "cohort_date": cohort_date,
                        "acquisition_channel": channel,
                        "age_days": age,
                        "is_mature": mature,
                        **value.columns(mature),
                    }
                )
            overall.append({"application_id": application, "age_days": age, **total.columns(True)})
    return rows, overall
