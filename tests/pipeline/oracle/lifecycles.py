"""How players come, stay and leave: lifecycle, months, lengths of sessions, segments and churn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from tests.pipeline.oracle.events import DAY, Event, Session, Table, with_players
from tests.pipeline.oracle.money import ZERO, Purchase
from tests.pipeline.oracle.players import Player, PlayerDay, PlayerTotals
from tests.pipeline.oracle.reports import Span
from tests.pipeline.oracle.values import money_per, ratio

Totals = Mapping[Player, PlayerTotals]
Spans = Mapping[str, Span]

BUCKETS = {
    "0-9 s": (0, 10),
    "10-59 s": (10, 60),
    "1-3 min": (60, 180),
    "3-10 min": (180, 600),
    "10-30 min": (600, 1800),
    "30-60 min": (1800, 3600),
    "60 min and longer": (3600, None),
}
TIERS = ((Decimal(100), "whale"), (Decimal(20), "dolphin"))
MONDAY = 0
SILENCE = 1800


def _active(days: Iterable[PlayerDay], application: str, until: date) -> dict[str, set[date]]:
    """The active days of each player of an application, up to a day."""
    found: dict[str, set[date]] = defaultdict(set)
    for day in days:
        if day.application_id == application and day.is_active and day.activity_date <= until:
            found[day.player_id].add(day.activity_date)
    return found


def _absence(active: set[date], on: date) -> int | None:
    """The full days without activity between a day and the active day before it, if any."""
    before = [day for day in active if day < on]
    return (on - max(before)).days - 1 if before else None


def rpt_player_lifecycle(days: list[PlayerDay], reported: Spans) -> Table:
    """One row per application and day; every player is looked at on every day."""
    rows: Table = []
    for application, span in reported.items():
        players = _active(days, application, span.as_of)
        for on in span.days():
            here = [active for active in players.values() if on in active]
            absences = [_absence(active, on) for active in here]
            away = [active for active in players.values() if on not in active]
            gone = [_absence(active, on + DAY) for active in away]
            rows.append(
                {
                    "application_id": application,
                    "kpi_date": on,
                    "dau": len(here),
                    "dau_of_day_before": sum(on - DAY in active for active in players.values()),
                    "new_players": absences.count(None),
                    "retained_players": sum(n is not None and n < 28 for n in absences),
                    "returned_players": sum(n is not None and 0 < n < 28 for n in absences),
                    "reactivated_players": sum(n is not None and n >= 28 for n in absences),
                    "not_seen_players": gone.count(1),
                    "churned_players": gone.count(28),
                    "active_players_28": sum(
                        any(on - n * DAY in active for n in range(28))
                        for active in players.values()
                    ),
                }
            )
    return rows


def rpt_session_lengths(sessions: Iterable[Session], reported: Spans) -> Table:
    """One row per application, day and bucket."""
    by_day: dict[tuple[str, date], list[Session]] = defaultdict(list)
    for session in sessions:
        by_day[session.application_id, session.session_date].append(session)
    rows: Table = []
    for application, span in reported.items():
        for on in span.days():
            for place, (name, (least, below)) in enumerate(BUCKETS.items(), 1):
                own = [
                    session
                    for session in by_day[application, on]
                    if least <= session.seconds and (below is None or session.seconds < below)
                ]
                rows.append(
                    {
                        "application_id": application,
                        "session_date": on,
                        "bucket_order": place,
                        "bucket": name,
                        "from_seconds": least,
                        "below_seconds": below,
                        "session_count": len(own),
                        "players": len({session.player_id for session in own}),
                    }
                )
    return rows


def rpt_monthly_kpis(days: list[PlayerDay], reported: Spans, players: Totals) -> Table:
    """One row per application and calendar month."""
    rows: Table = []
    for application, span in reported.items():
        own = [day for day in days if day.application_id == application]
        for first in sorted({on.replace(day=1) for on in span.days()}):
            end = (first + timedelta(days=31)).replace(day=1)
            month = [day for day in own if first <= day.activity_date < min(end, span.as_of + DAY)]
            rows.append(
                {
                    "application_id": application,
                    "kpi_month": first,
                    **_month(month, players, is_complete=end <= span.as_of + DAY),
                }
            )
    return rows


def _month(days: list[PlayerDay], players: Totals, *, is_complete: bool) -> dict[str, object]:
    mau = len({day.player for day in days if day.is_active})
    payers = len({day.player for day in days if day.is_payer})
    revenue = sum((day.revenue for day in days), ZERO)
    iap_revenue = sum((day.iap_revenue for day in days), ZERO)
    return {
        "mau": mau,
        "payers": payers,
        "new_players": sum(
            players[day.player].first_seen_date == day.activity_date for day in days
        ),
        "first_time_payers": sum(day.is_first_time_payer for day in days),
        "session_count": sum(day.session_count for day in days),
        "playtime_seconds": sum(day.playtime_seconds for day in days),
        "iap_revenue": iap_revenue,
        "ad_revenue": sum((day.ad_revenue for day in days), ZERO),
        "refunds": sum((day.refunds for day in days), ZERO),
        "revenue": revenue,
        "payer_conversion": ratio(payers, mau) if is_complete else None,
        "arpmau": money_per(revenue, mau) if is_complete else None,
        "arppu": money_per(iap_revenue, payers) if is_complete else None,
        "is_complete": is_complete,
    }


@dataclass(frozen=True)
class _Segment:
    """A player of an application as of a day, with the active days and those of the trailing 90."""

    as_of: date
    active: set[date]
    trailing: list[PlayerDay]

    def days(self, count: int) -> list[PlayerDay]:
        """The player's days among the last ones."""
        return [day for day in self.trailing if (self.as_of - day.activity_date).days < count]

    @property
    def active_days(self) -> int:
        """The active days among the last 90."""
        return sum(day.is_active for day in self.trailing)

    def revenue(self, count: int) -> Decimal:
        """The revenue of the last days."""
        return sum((day.revenue for day in self.days(count)), ZERO)

    def tier(self, count: int) -> str:
        """The tier by the last days."""
        if not any(day.is_payer for day in self.days(count)):
            return "non_payer"
        return next((name for least, name in TIERS if self.revenue(count) >= least), "minnow")

    @property
    def lifecycle(self) -> str:
        """The stage on the as-of day."""
        silent = (self.as_of - max(self.active)).days
        if silent >= 7:
            return "lapsed" if silent >= 28 else "at_risk"
        if (self.as_of - min(self.active)).days < 7:
            return "new"
        week = [day for day in self.active if (self.as_of - day).days < 7]
        back = any((_absence(self.active, day) or 0) >= 28 for day in week)
        return "reactivated" if back else "active"


def _score(one: _Segment, others: list[_Segment], value: Callable[[_Segment], object]) -> int:
    """One to five, by the share of players with a lower value."""
    lower = sum(value(other) < value(one) for other in others)  # type: ignore[operator]
    return 1 + 5 * lower // len(others)


def rpt_player_segments(days: list[PlayerDay], reported: Spans) -> Table:
    """One row per application and player with an active day up to the as-of day."""
    rows: Table = []
    for application, span in reported.items():
        by_player: dict[str, list[PlayerDay]] = defaultdict(list)
        for day in days:
            if day.application_id == application and (
                0 <= (span.as_of - day.activity_date).days < 90
            ):
                by_player[day.player_id].append(day)
        segments = {
            player: _Segment(span.as_of, active, by_player[player])
            for player, active in _active(days, application, span.as_of).items()
        }
        scored = [segment for segment in segments.values() if segment.active_days]
        for player, one in segments.items():
            scores = (
                6 - _score(one, scored, lambda each: -max(each.active).toordinal()),
                _score(one, scored, lambda each: each.active_days),
                _score(one, scored, lambda each: each.revenue(90)),
            )
            names = ("recency_score", "frequency_score", "monetary_score")
            rows.append(
                {
                    "application_id": application,
                    "player_id": player,
                    "cohort_date": min(one.active),
                    "last_active_date": max(one.active),
                    "lifecycle": one.lifecycle,
                    "payer_tier_30": one.tier(30),
                    "payer_tier_90": one.tier(90),
                    "revenue_30": one.revenue(30),
                    "revenue_90": one.revenue(90),
                    "active_days_90": one.active_days,
                    **dict(zip(names, scores if one.active_days else (None,) * 3, strict=True)),
                }
            )
    return rows


def known_at_day_end(events: Iterable[Event]) -> list[Event]:
    """The events with the players that each day's events and those of the day before show."""
    by_day: dict[date, list[Event]] = defaultdict(list)
    for event in events:
        by_day[event.event_date].append(event)
    return [
        event
        for day in list(by_day)
        for event in with_players([*by_day.get(day - DAY, ()), *by_day[day]])
        if event.event_date == day
    ]


@dataclass(slots=True)
class _DayEnd:
    """What a player did on a day, seen at its end."""

    is_active: bool = False
    sessions: int = 0
    seconds: int = 0
    purchases: int = 0
    revenue: Decimal = ZERO


def _chains(timestamps: list[int]) -> list[list[int]]:
    """Sorted timestamps, cut where more than half an hour passes."""
    chains: list[list[int]] = []
    for at in sorted(timestamps):
        if not chains or at - chains[-1][-1] > SILENCE:
            chains.append([])
        chains[-1].append(at)
    return chains


def _day_ends(
    known: Iterable[Event], bought: Iterable[Purchase]
) -> dict[Player, dict[date, _DayEnd]]:
    found: dict[Player, dict[date, _DayEnd]] = defaultdict(lambda: defaultdict(_DayEnd))
    spans: dict[tuple[str, str, date, str | None], list[int]] = defaultdict(list)
    for event in known:
        if event.player_id:
            day = found[event.application_id, event.player_id][event.event_date]
            day.is_active |= event.is_activity
            key = event.application_id, event.player_id, event.event_date, event.session_id
            spans[key].append(event.event_timestamp)
    for (application, player_id, on, session_id), timestamps in spans.items():
        for chain in [timestamps] if session_id else _chains(timestamps):
            day = found[application, player_id][on]
            day.sessions += 1
            day.seconds += max(chain) - min(chain)
    for purchase in bought:
        if purchase.player:
            day = found[purchase.player][purchase.event.event_date]
            day.purchases += purchase.is_paid
            day.revenue += purchase.revenue or ZERO
    return found


def rpt_churn_features(
    known: list[Event],
    bought: list[Purchase],
    days: list[PlayerDay],
    reported: Spans,
    players: Totals,
) -> Table:
    """One row per application, player and Monday.

    `known` and `bought` are the events and purchases with the players that were known at day end.
    """
    ends = _day_ends(known, bought)
    active = {(*day.player, day.activity_date) for day in days if day.is_active}
    rows: Table = []
    for application, span in reported.items():
        mondays = [on + DAY for on in span.days() if (on + DAY).weekday() == MONDAY]
        for monday in mondays:
            week = [monday + n * DAY for n in range(7)]
            for player, own in ends.items():
                before = {on: day for on, day in own.items() if 1 <= (monday - on).days <= 28}
                if player[0] != application or not any(day.is_active for day in before.values()):
                    continue
                first = players[player].first_seen_date
                assert first
                last = max(on for on, day in before.items() if day.is_active)
                rows.append(
                    {
                        "application_id": application,
                        "player_id": player[1],
                        "as_of_date": monday,
                        "days_since_install": (monday - first).days,
                        "days_since_last_active": (monday - last).days,
                        **_sums(before, monday),
                        "label_end_date": week[-1],
                        "is_churned": not any((*player, on) in active for on in week)
                        if week[-1] <= span.as_of
                        else None,
                    }
                )
    return rows


def _sums(days: Mapping[date, _DayEnd], monday: date) -> dict[str, object]:
    """The sums of 28 days and of the last 7 of them."""
    found: dict[str, object] = {}
    for count in (7, 28):
        own = [day for on, day in days.items() if (monday - on).days <= count]
        found[f"active_days_{count}"] = sum(day.is_active for day in own)
        found[f"session_count_{count}"] = sum(day.sessions for day in own)
        found[f"playtime_seconds_{count}"] = sum(day.seconds for day in own)
        found[f"purchase_count_{count}"] = sum(day.purchases for day in own)
        found[f"iap_revenue_{count}"] = sum((day.revenue for day in own), ZERO)
    for name, column in (
        ("active_days", "active_days_trend"),
        ("playtime_seconds", "playtime_trend"),
    ):
        last, all_days = (int(str(found[f"{name}_{count}"])) for count in (7, 28))
        found[column] = ratio(4 * last, all_days)
    return found
