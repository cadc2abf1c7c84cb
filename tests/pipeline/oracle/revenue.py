"""The reports about purchases and ads: by day, by item and price point, and by placement."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from tests.pipeline.oracle.events import Event, Table
from tests.pipeline.oracle.money import UNKNOWN, ZERO, Purchase, Rates, firsts
from tests.pipeline.oracle.players import Player, PlayerDay, PlayerTotals
from tests.pipeline.oracle.reports import Span
from tests.pipeline.oracle.values import amount, currency, entity, money, money_per, ratio

Item = tuple[str, Decimal, str]
"""Item, original amount and original currency."""


def _counted(
    purchases: Iterable[Purchase], reported: Mapping[str, Span]
) -> dict[tuple[str, date], list[Purchase]]:
    """The purchases of known players up to the as-of day, by application and day."""
    found: dict[tuple[str, date], list[Purchase]] = defaultdict(list)
    for purchase in purchases:
        span = reported.get(purchase.event.application_id)
        if purchase.player and span and purchase.event.event_date <= span.as_of:
            found[purchase.event.application_id, purchase.event.event_date].append(purchase)
    return found


def _revenue(purchases: Iterable[Purchase]) -> Decimal:
    return sum((purchase.revenue or ZERO for purchase in purchases), ZERO)


def _without_rate(purchases: Iterable[Purchase]) -> int:
    return sum(purchase.revenue is None for purchase in purchases)


def _median(days: list[int]) -> int | None:
    """The median by nearest rank, which is the lower of the two middle values."""
    return sorted(days)[(len(days) - 1) // 2] if days else None


def rpt_purchases(
    purchases: list[Purchase],
    reported: Mapping[str, Span],
    players: Mapping[Player, PlayerTotals],
) -> Table:
    """One row per application and day, also for days without purchases."""
    by_day = _counted(purchases, reported)
    first = {id(it) for it in firsts(it for it in purchases if it.is_paid).values()}
    rows: Table = []
    for application, span in reported.items():
        for day in span.days():
            own = by_day.get((application, day), [])
            paid = [purchase for purchase in own if purchase.is_paid]
            new = [purchase for purchase in paid if id(purchase) in first]
            repeated = [purchase for purchase in paid if id(purchase) not in first]
            seen = [players[it.player].first_seen_date for it in new if it.player]
            payers = len({purchase.player for purchase in paid})
            rows.append(
                {
                    "application_id": application,
                    "purchase_date": day,
                    "purchases": len(own),
                    "paid_purchases": len(paid),
                    "payers": payers,
                    "first_time_purchases": len(new),
                    "repeat_purchases": len(repeated),
                    "revenue": _revenue(own),
                    "first_time_revenue": _revenue(new),
                    "repeat_revenue": _revenue(repeated),
                    "transactions_per_payer": ratio(len(paid), payers),
                    "revenue_per_transaction": money_per(_revenue(own), len(paid)),
                    "median_days_to_first_purchase": _median(
                        [(day - first_day).days for first_day in seen if first_day]
                    ),
                    "missing_rate_count": _without_rate(own),
                }
            )
    return rows


def rpt_purchases_by_item(purchases: list[Purchase], reported: Mapping[str, Span]) -> Table:
    """One row per application, day with purchases, item, original amount and currency."""
    rows: Table = []
    for (application, day), bought in _counted(purchases, reported).items():
        items: dict[Item, list[Purchase]] = defaultdict(list)
        for purchase in bought:
            item = purchase.event.value("item_id") or UNKNOWN
            items[item, purchase.original_amount, purchase.original_currency].append(purchase)
        of_item: dict[str, Decimal] = defaultdict(Decimal)
        for (item, _, _), own in items.items():
            of_item[item] += _revenue(own)
        revenues = [_revenue(own) for own in items.values()]
        better_items = sorted(set(of_item.values()), reverse=True)
        for (item, original, code), own in items.items():
            revenue = _revenue(own)
            rows.append(
                {
                    "application_id": application,
                    "purchase_date": day,
                    "item_id": item,
                    "original_amount": original,
                    "original_currency": code,
                    "purchases": len(own),
                    "payers": len({it.player for it in own if it.is_paid}),
                    "revenue": revenue,
                    "revenue_share": ratio(revenue, sum(revenues, ZERO)),
                    "revenue_rank": 1 + sum(other > revenue for other in revenues),
                    "item_rank": 1 + better_items.index(of_item[item]),
                    "missing_rate_count": _without_rate(own),
                }
            )
    return rows


@dataclass(slots=True)
class _Placement:
    """What the players of a day saw at one placement."""

    impressions: int = 0
    players: set[str] = field(default_factory=set)
    revenue: Decimal = ZERO
    without_rate: int = 0


def _placement(event: Event) -> str:
    return (entity(event.data.get("placement")) or "").strip(" ") or UNKNOWN


def rpt_ads(
    events: Iterable[Event], rates: Rates, days: Iterable[PlayerDay], reported: Mapping[str, Span]
) -> Table:
    """One row per application, placement and day with impressions of known players."""
    dau = Counter((day.application_id, day.activity_date) for day in days if day.is_active)
    by_player: dict[tuple[str, date, str], dict[str, list[Event]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for event in events:
        span = reported.get(event.application_id)
        is_reported = span is not None and event.event_date <= span.as_of
        if event.event_type == "ad_impression" and event.player_id and is_reported:
            key = event.application_id, event.event_date, event.player_id
            by_player[key][_placement(event)].append(event)
    found: dict[tuple[str, date, str], _Placement] = defaultdict(_Placement)
    for (application, day, player_id), placements in by_player.items():
        so_far = ZERO
        for name in sorted(placements):
            one = found[application, day, name]
            one.players.add(player_id)
            before = money(so_far)
            for event in placements[name]:
                converted = _converted(event, rates)
                one.impressions += 1
                one.without_rate += converted is None
                so_far += converted or ZERO
            # The rounded revenue of the player's day is divided among its placements.
            one.revenue += money(so_far) - before
    return [
        {
            "application_id": application,
            "impression_date": day,
            "placement": name,
            "impressions": one.impressions,
            "players": len(one.players),
            "dau": dau[application, day],
            "impressions_per_dau": ratio(one.impressions, dau[application, day]),
            "engagement_rate": ratio(len(one.players), dau[application, day]),
            "impressions_per_player": ratio(one.impressions, len(one.players)),
            "revenue": one.revenue,
            "ecpm": money_per(one.revenue * 1000, one.impressions),
            "missing_rate_count": one.without_rate,
        }
        for (application, day, name), one in found.items()
    ]


def _converted(event: Event, rates: Rates) -> Decimal | None:
    code = currency(event.value("currency_type"), None) or rates.reporting
    original = amount(event.value("currency_amount")) or ZERO
    return rates.converted(original, code, event.event_date)
