"""Exchange rates, purchases, refunds, ads and marketing spend in the reporting currency."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tests.pipeline.oracle.events import DAY, Event, Table
from tests.pipeline.oracle.lake import Row
from tests.pipeline.oracle.values import (
    amount,
    currency,
    given,
    is_ambiguous,
    iso_day,
    money,
    quotient,
    utc_time,
)

ZERO = Decimal(0)
UNKNOWN = "Unknown"


class Rates:
    """The value of one unit of a currency in the reporting currency on a UTC day."""

    def __init__(self, rows: Iterable[Row], reporting: str) -> None:
        """Read the rows of `currency_exchange`. Of two rates for a day the larger one counts."""
        self.reporting = reporting
        self._euros: dict[tuple[date, str], Decimal] = {}
        self._cross: dict[tuple[date, str], Decimal | None] = {}
        for row in rows:
            day, code = iso_day(row.get("date")), currency(given(row.get("currency")), None)
            euros = amount(given(row.get("baserateeuro")))
            if day and code and euros and euros > 0:
                self._euros[day, code] = max(euros, self._euros.get((day, code), ZERO))

    def _euro(self, day: date, code: str) -> Decimal | None:
        """Euro per unit on the day, or else on the latest of the seven days before it."""
        if code == "EUR":
            return Decimal(1)
        for age in range(8):
            if (day - age * DAY, code) in self._euros:
                return self._euros[day - age * DAY, code]
        return None

    def rate(self, day: date, code: str) -> Decimal | None:
        """The cross rate with eight decimals; None if one of the two rates is missing."""
        if code == self.reporting:
            return Decimal(1)
        if (day, code) not in self._cross:
            leg, reporting = self._euro(day, code), self._euro(day, self.reporting)
            self._cross[day, code] = quotient(leg, reporting) if leg and reporting else None
        return self._cross[day, code]

    def converted(self, value: Decimal | None, code: str, day: date) -> Decimal | None:
        """An amount in the reporting currency at full precision."""
        rate = self.rate(day, code)
        return None if value is None or rate is None else value * rate


@dataclass(frozen=True, slots=True)
class Purchase:
    """One transaction; without an amount it is 0, and `revenue` is None without a rate."""

    event: Event
    transaction_id: str
    original_amount: Decimal
    original_currency: str
    revenue: Decimal | None
    refund: Event | None

    @property
    def is_paid(self) -> bool:
        """Whether the purchase makes its player a payer, which only an amount above zero does."""
        return self.original_amount > 0

    @property
    def player(self) -> tuple[str, str] | None:
        """Application and player."""
        player_id = self.event.player_id
        return (self.event.application_id, player_id) if player_id else None

    @property
    def order(self) -> tuple[int, str]:
        """The sort key that defines a player's first purchase."""
        return self.event.event_timestamp, self.transaction_id


def _first_by_transaction(events: Iterable[Event], kind: str) -> dict[tuple[str, str], Event]:
    """The earliest event of a type per application and transaction id."""
    first: dict[tuple[str, str], Event] = {}
    for event in events:
        transaction_id = event.value("transaction_id")
        if kind == "iap_transaction":
            transaction_id = transaction_id or event.event_id
        if event.event_type == kind and transaction_id:
            key = event.application_id, transaction_id
            if key not in first or event.order < first[key].order:
                first[key] = event
    return first


def purchases(events: list[Event], rates: Rates) -> list[Purchase]:
    """The purchases among the events, each with its first refund."""
    refunds = _first_by_transaction(events, "iap_refund")
    found = []
    for key, event in _first_by_transaction(events, "iap_transaction").items():
        original = amount(event.value("currency_amount")) or ZERO
        code = currency(event.value("currency_type"), None) or rates.reporting
        converted = rates.converted(original, code, event.event_date)
        revenue = None if converted is None else money(converted)
        found.append(Purchase(event, key[1], original, code, revenue, refunds.get(key)))
    return found


def firsts(found: Iterable[Purchase]) -> dict[tuple[str, str], Purchase]:
    """The first purchase of each player."""
    first: dict[tuple[str, str], Purchase] = {}
    for purchase in found:
        player = purchase.player
        if player and (player not in first or purchase.order < first[player].order):
            first[player] = purchase
    return first


def fct_purchases(found: list[Purchase]) -> Table:
    """One row per application and transaction."""
    first = firsts(purchase for purchase in found if purchase.is_paid)
    return [
        {
            "application_id": purchase.event.application_id,
            "transaction_id": purchase.transaction_id,
            "player_id": purchase.event.player_id,
            "purchased_at": utc_time(purchase.event.event_timestamp),
            "purchase_date": purchase.event.event_date,
            "item_id": purchase.event.value("item_id"),
            "original_amount": purchase.original_amount,
            "original_currency": purchase.original_currency,
            "revenue": purchase.revenue,
            "refunded_at": purchase.refund and utc_time(purchase.refund.event_timestamp),
            "is_first_purchase": purchase.player is not None
            and first.get(purchase.player) is purchase,
        }
        for purchase in found
    ]


def ad_revenue(events: Iterable[Event], rates: Rates) -> dict[tuple[str, str, date], Decimal]:
    """Ad revenue by application, player and day, rounded once per key."""
    sums: dict[tuple[str, str, date], Decimal] = defaultdict(Decimal)
    for event in events:
        if event.event_type == "ad_impression" and event.player_id:
            code = currency(event.value("currency_type"), None) or rates.reporting
            original = amount(event.value("currency_amount"))
            converted = rates.converted(original, code, event.event_date)
            sums[event.application_id, event.player_id, event.event_date] += converted or ZERO
    return {key: money(value) for key, value in sums.items()}


def marketing_spend(rows: Iterable[Row], rates: Rates) -> dict[tuple[date, str], Decimal]:
    """Spend by day and acquisition channel with four decimals; rows without a rate are left out."""
    sums: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        day, original = iso_day(row.get("date")), amount(given(row.get("amount")))
        if day and original is not None:
            code = currency(given(row.get("currency")), None) or rates.reporting
            channel = given(row.get("acquisition_channel")) or UNKNOWN
            converted = rates.converted(original, code, day)
            if converted is not None:
                sums[day, channel] += converted
    return {key: money(value) for key, value in sums.items()}


def share_of_spend(
    spend: Mapping[tuple[date, str], Decimal], key: tuple[date, str], installs: int, of: int
) -> Decimal | None:
    """The share of the spend of a day and channel for `installs` of all `of` installs."""
    return money(spend[key] * installs / of) if key in spend else None


def _rate_fault(row: Row) -> str | None:
    if iso_day(row.get("date")) is None:
        return "date_not_readable"
    if currency(given(row.get("currency")), None) is None:
        return "missing_currency"
    euros = amount(given(row.get("baserateeuro")))
    if is_ambiguous(given(row.get("baserateeuro"))):
        return "ambiguous_amount"
    if euros is None:
        return "rate_not_readable"
    return None if euros > 0 else "rate_not_positive"


def _spend_fault(row: Row) -> str | None:
    if iso_day(row.get("date")) is None:
        return "date_not_readable"
    if is_ambiguous(given(row.get("amount"))):
        return "ambiguous_amount"
    return "amount_not_readable" if amount(given(row.get("amount"))) is None else None


def _id_fault(column: str, reason: str) -> Callable[[Row], str | None]:
    return lambda row: None if given(row.get(column)) else reason


FAULTS: Mapping[str, Callable[[Row], str | None]] = {
    "currency_exchange": _rate_fault,
    "marketing_spend": _spend_fault,
    "games": _id_fault("id", "missing_game_id"),
    "game_providers": _id_fault("id", "missing_game_provider_id"),
    "game_categories": _id_fault("game_id", "missing_game_id"),
    "players": _id_fault("playerid", "missing_player_id"),
}
"""Functions that return why a row is left out, or None, by source without partitions."""
