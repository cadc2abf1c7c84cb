"""The currencies of the games, ratings, reports of players, and latency."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from tests.pipeline.oracle.events import Event, Table
from tests.pipeline.oracle.money import UNKNOWN, ZERO
from tests.pipeline.oracle.players import Player, PlayerDay, PlayerTotals
from tests.pipeline.oracle.values import TOO_MUCH, amount, entity, known, ratio

CARRIED_OVER = timedelta(days=30)
"""How long a balance is remembered for the player's next flow."""
SIDES = ("source", "sink")


class Flow(NamedTuple):
    """A `currency_flow` event; `change` is None if its direction or its amount is not valid."""

    application_id: str
    currency: str
    reason: str
    day: date
    second: int
    event_id: str
    player_id: str | None
    kind: str
    amount: Decimal
    change: Decimal | None
    balance: Decimal | None


def _name(event: Event, key: str) -> str | None:
    return (entity(event.data.get(key)) or "").strip(" ") or None


def _number(event: Event, key: str) -> Decimal | None:
    found = amount(known(event.data.get(key)))
    return None if found is None or abs(found) >= TOO_MUCH else found


def flows(events: Iterable[Event]) -> list[Flow]:
    """The currency flows, in the order of time and event id."""
    found = []
    for event in sorted(events, key=lambda event: event.order):
        if event.event_type != "currency_flow":
            continue
        direction, given = (_name(event, "direction") or "").lower(), _number(event, "amount")
        if direction not in SIDES:
            kind, change = "unknown_direction", None
        elif given is None or given < 0:
            kind, change = "invalid_amount", None
        else:
            kind, change = direction, given if direction == "source" else -given
        found.append(
            Flow(
                event.application_id,
                _name(event, "currency") or UNKNOWN,
                _name(event, "reason") or UNKNOWN,
                event.event_date,
                event.event_timestamp,
                event.event_id,
                event.player_id,
                kind,
                abs(change) if change is not None else ZERO,
                change,
                _number(event, "balance"),
            )
        )
    return found


def _sums(own: Sequence[Flow]) -> dict[str, object]:
    """The columns that both reports of the economy share."""
    sources = sum((flow.amount for flow in own if flow.kind == "source"), ZERO)
    sinks = sum((flow.amount for flow in own if flow.kind == "sink"), ZERO)
    kinds = Counter(flow.kind for flow in own)
    return {
        "sources": sources,
        "sinks": sinks,
        "net": sources - sinks,
        "flow_count": len(own),
        **{
            f"{kind}_count": kinds[kind]
            for kind in ("source", "sink", "unknown_direction", "invalid_amount")
        },
        "players": len({flow.player_id for flow in own if flow.player_id}),
    }


def rpt_economy_by_reason(found: Iterable[Flow]) -> Table:
    """One row per application, currency, reason and day."""
    groups: dict[tuple[str, str, str, date], list[Flow]] = defaultdict(list)
    for flow in found:
        groups[flow.application_id, flow.currency, flow.reason, flow.day].append(flow)
    return [
        {
            "application_id": application,
            "game_currency": currency,
            "reason": reason,
            "event_date": day,
            **_sums(own),
        }
        for (application, currency, reason, day), own in groups.items()
    ]


class _Chain:
    """The flows of one player in one currency, over all days."""

    def __init__(self, own: Sequence[Flow]) -> None:
        """Compare each flow with the one before it. `own` is in the order of time."""
        together = Counter(flow.second for flow in own)
        self._is_known = [flow.balance is not None and together[flow.second] == 1 for flow in own]
        self.own = own
        self.verdicts: list[bool | None] = [None] * len(own)
        for place, (before, flow) in enumerate(pairwise(own), start=1):
            if (
                self._is_known[place - 1]
                and self._is_known[place]
                and before.balance is not None
                and flow.balance is not None
                and flow.change is not None
                and flow.day - before.day <= CARRIED_OVER
            ):
                self.verdicts[place] = before.balance + flow.change == flow.balance

    def places(self, day: date) -> list[int]:
        """The places of the day's flows."""
        return [place for place, flow in enumerate(self.own) if flow.day == day]

    def last_balance(self, day: date) -> Decimal | None:
        """The last balance that a flow of the day names."""
        named = [self.own[place].balance for place in self.places(day)]
        return next((value for value in reversed(named) if value is not None), None)

    def reconciled_change(self, day: date) -> Decimal | None:
        """The day's change of the balance; None if a flow disagrees or cannot be checked."""
        first, *others = self.places(day)
        opened, closed = self.own[first], self.own[[first, *others][-1]]
        if not self._is_known[first] or opened.change is None or opened.balance is None:
            return None
        if self.verdicts[first] is False:
            return None
        if not all(self.verdicts[place] for place in others) or closed.balance is None:
            return None
        return closed.balance - (opened.balance - opened.change)


def percentile(values: Iterable[Decimal], percent: int) -> Decimal | None:
    """The nearest rank: the smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None


def rpt_economy(found: Sequence[Flow]) -> Table:
    """One row per application, currency and day."""
    groups: dict[tuple[str, str, date], list[Flow]] = defaultdict(list)
    by_player: dict[tuple[str, str, str], list[Flow]] = defaultdict(list)
    for flow in found:
        groups[flow.application_id, flow.currency, flow.day].append(flow)
        if flow.player_id:
            by_player[flow.application_id, flow.currency, flow.player_id].append(flow)
    chains = {key: _Chain(own) for key, own in by_player.items()}
    rows: Table = []
    for (application, currency, day), own in groups.items():
        players = {flow.player_id for flow in own if flow.player_id}
        here = [chains[application, currency, player] for player in players]
        verdicts = [chain.verdicts[place] for chain in here for place in chain.places(day)]
        changes = [c for chain in here if (c := chain.reconciled_change(day)) is not None]
        balances = [b for chain in here if (b := chain.last_balance(day)) is not None]
        sources, sinks = (sum((f.amount for f in own if f.kind == k), ZERO) for k in SIDES)
        rows.append(
            {
                "application_id": application,
                "game_currency": currency,
                "event_date": day,
                **_sums(own),
                "sink_source_ratio": ratio(sinks, sources),
                "players_with_balance": len(balances),
                "median_balance": percentile(balances, 50),
                "p90_balance": percentile(balances, 90),
                "checked_flow_count": sum(verdict is not None for verdict in verdicts),
                "unreconciled_flow_count": sum(verdict is False for verdict in verdicts),
                "reconciled_players": len(changes),
                "reconciled_balance_change": sum(changes, ZERO),
            }
        )
    return rows


def rpt_sentiment_and_reports(events: Iterable[Event]) -> Table:
    """One row per application, day, type of feedback and reason."""
    groups: dict[tuple[str, date, str, str], list[Event]] = defaultdict(list)
    for event in events:
        key = event.application_id, event.event_date
        if event.event_type == "user_report":
            groups[*key, "report", _name(event, "report_reason") or UNKNOWN].append(event)
        elif event.event_type == "user_sentiment":
            groups[*key, "sentiment", "Not applicable"].append(event)
    rows: Table = []
    for (application, day, kind, reason), own in groups.items():
        ratings = [
            (int(given), event.player_id)
            for event in own
            if kind == "sentiment" and (given := _number(event, "user_rating")) in {1, 2, 3, 4, 5}
        ]
        stars = Counter(stars for stars, _ in ratings)
        reports = own if kind == "report" else []
        rows.append(
            {
                "application_id": application,
                "event_date": day,
                "feedback_type": kind,
                "reason": reason,
                "report_count": len(reports),
                "reporting_players": len({e.player_id for e in reports if e.player_id}),
                "rating_count": len(ratings),
                **{f"rating_{n}_count": stars[n] for n in range(1, 6)},
                "invalid_rating_count": len(own) - len(reports) - len(ratings),
                "mean_rating": ratio(sum(n for n, _ in ratings), len(ratings)),
                "rating_players": len({player for _, player in ratings if player}),
            }
        )
    return rows


def rpt_latency(
    events: Iterable[Event], days: Iterable[PlayerDay], players: Mapping[Player, PlayerTotals]
) -> Table:
    """One row per application, platform, country and day."""
    by_day = {(*day.player, day.activity_date): day for day in days}

    def value(event: Event, key: str, segment: str) -> str:
        own = event.value(key)
        if own or not event.player_id:
            return own or UNKNOWN
        player = event.application_id, event.player_id
        of_day = by_day[*player, event.event_date].values.get(segment)
        return of_day or players[player].value(segment)

    groups: dict[tuple[str, str, str, date], list[Event]] = defaultdict(list)
    for event in events:
        if event.event_type == "client_latency":
            place = value(event, "platform", "platform"), value(event, "country_id", "country")
            groups[event.application_id, *place, event.event_date].append(event)
    rows: Table = []
    for (application, platform, country, day), own in groups.items():
        measured = [(_number(event, "latency"), event.player_id) for event in own]
        samples = [(given, player) for given, player in measured if given is not None]
        samples = [(given, player) for given, player in samples if given >= 0]
        rows.append(
            {
                "application_id": application,
                "platform": platform,
                "country": country,
                "event_date": day,
                **{
                    f"p{percent}_milliseconds": percentile((g for g, _ in samples), percent)
                    for percent in (50, 95, 99)
                },
                "sample_count": len(samples),
                "invalid_sample_count": len(own) - len(samples),
                "players": len({player for _, player in samples if player}),
            }
        )
    return rows
