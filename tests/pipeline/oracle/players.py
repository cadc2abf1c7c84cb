"""The players, their days, and their first known values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from tests.pipeline.oracle.events import Event, Session, Table
from tests.pipeline.oracle.money import UNKNOWN, ZERO, Purchase, firsts

Player = tuple[str, str]
SEGMENTS = ("platform", "country", "app_version", "acquisition_channel")


@dataclass(slots=True)
class PlayerDay:
    """The activity of one player on one UTC day; `values` are the first known ones of the day."""

    application_id: str
    player_id: str
    activity_date: date
    is_active: bool = False
    event_count: int = 0
    session_count: int = 0
    playtime_seconds: int = 0
    iap_revenue: Decimal = ZERO
    ad_revenue: Decimal = ZERO
    refunds: Decimal = ZERO
    is_payer: bool = False
    is_first_time_payer: bool = False
    values: dict[str, str] = field(default_factory=dict)

    @property
    def player(self) -> Player:
        """Application and player."""
        return self.application_id, self.player_id

    @property
    def revenue(self) -> Decimal:
        """Purchases and advertisements less refunds."""
        return self.iap_revenue + self.ad_revenue - self.refunds


@dataclass(slots=True)
class PlayerTotals:
    """A player over all days; the dates are None without an active day."""

    first_seen_date: date | None
    last_seen_date: date | None
    values: Mapping[str, str]
    is_payer: bool
    lifetime_revenue: Decimal
    lifetime_session_count: int

    def value(self, segment: str) -> str:
        """The first known value of a segment, or `Unknown`."""
        return self.values.get(segment, UNKNOWN)


def _segment_values(event: Event) -> dict[str, str]:
    """The segment values of an event, by segment."""
    named = {
        "platform": event.value("platform"),
        "country": event.value("country_id"),
        "app_version": event.app_version,
        "acquisition_channel": event.value("acquisition_channel"),
        "campaign_id": event.value("campaign_id"),
    }
    return {name: value for name, value in named.items() if value is not None}


def player_days(
    events: Iterable[Event],
    sessions: Iterable[Session],
    purchases: list[Purchase],
    refunds: Mapping[tuple[str, str, date], Decimal],
    ads: Mapping[tuple[str, str, date], Decimal],
) -> list[PlayerDay]:
    """One object per application, player and day with an event, a session start or revenue."""
    days: dict[tuple[str, str, date], PlayerDay] = {}

    def day_of(player: Player, day: date) -> PlayerDay:
        return days.setdefault((*player, day), PlayerDay(*player, day))

    for event in sorted(events, key=lambda event: event.order):
        if event.player_id:
            day = day_of((event.application_id, event.player_id), event.event_date)
            day.event_count += 1
            day.is_active |= event.is_activity
            day.values = _segment_values(event) | day.values
    for session in sessions:
        day = day_of((session.application_id, session.player_id), session.session_date)
        day.session_count += 1
        day.playtime_seconds += session.seconds
    for purchase in purchases:
        if purchase.player:
            day = day_of(purchase.player, purchase.event.event_date)
            day.iap_revenue += purchase.revenue or ZERO
            day.is_payer |= purchase.is_paid
    for player, purchase in firsts(buy for buy in purchases if buy.is_paid).items():
        day_of(player, purchase.event.event_date).is_first_time_payer = True
    for name, sums in (("ad_revenue", ads), ("refunds", refunds)):
        for (application, player_id, on), value in sums.items():
            setattr(day_of((application, player_id), on), name, value)
    return list(days.values())


def totals(days: Iterable[PlayerDay]) -> dict[Player, PlayerTotals]:
    """The totals of each player over all days."""
    by_player: dict[Player, list[PlayerDay]] = defaultdict(list)
    for day in sorted(days, key=lambda day: day.activity_date):
        by_player[day.player].append(day)
    found = {}
    for player, own in by_player.items():
        active = [day.activity_date for day in own if day.is_active]
        values: dict[str, str] = {}
        for day in own:
            values = day.values | values
        found[player] = PlayerTotals(
            first_seen_date=active[0] if active else None,
            last_seen_date=active[-1] if active else None,
            values=values,
            is_payer=any(day.is_payer for day in own),
            lifetime_revenue=sum((day.revenue for day in own), ZERO),
            lifetime_session_count=sum(day.session_count for day in own),
        )
    return found


def segment_value(day: PlayerDay, segment: str, player: PlayerTotals) -> str:
    """The value under which a player's day counts in a segment.

    The acquisition channel is by definition the player's first one, also on later days.
    """
    if segment == "acquisition_channel":
        return player.value(segment)
    return day.values.get(segment) or player.value(segment)


def fct_player_days(days: Iterable[PlayerDay]) -> Table:
    """One row per application, player and UTC day."""
    names = [name for name in PlayerDay.__slots__ if name != "values"]
    return [{name: getattr(day, name) for name in names} | {"revenue": day.revenue} for day in days]


def dim_players(players: Mapping[Player, PlayerTotals]) -> Table:
    """One row per application and player."""
    return [
        {
            "application_id": application,
            "player_id": player_id,
            "first_seen_date": player.first_seen_date,
            "last_seen_date": player.last_seen_date,
            "first_platform": player.values.get("platform"),
            "first_country_id": player.values.get("country"),
            "first_app_version": player.values.get("app_version"),
            "acquisition_channel": player.values.get("acquisition_channel"),
            "campaign_id": player.values.get("campaign_id"),
            "is_payer": player.is_payer,
            "lifetime_revenue": player.lifetime_revenue,
            "lifetime_session_count": player.lifetime_session_count,
        }
        for (application, player_id), player in players.items()
    ]
