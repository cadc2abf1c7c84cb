"""Exchange rates, purchases, refunds, ads and marketing spend in the reporting currency."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tests.pipeline.oracle.events import DAY, Event, Table
from tests.pipeline.oracle.lake import Row
from tests.pipeline.oracle.values import (
    TOO_MUCH,
    amount,
    cross_rate,
    currency,
    euro_rate,
    given,
    is_ambiguous,
    iso_day,
    money,
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
            euros = euro_rate(given(row.get("baserateeuro")))
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
        """The cross rate; None if one of the two rates is missing."""
        if code == self.reporting:
            return Decimal(1)
        if (day, code) not in self._cross:
            leg, reporting = self._euro(day, code), self._euro(day, self.reporting)
            self._cross[day, code] = cross_rate(leg, reporting) if leg and reporting else None
        return self._cross[day, code]

    def converted(self, value: Decimal | None, code: str, day: date) -> Decimal | None:
        """An amount in the reporting currency at full precision."""
        rate = self.rate(day, code)
        converted = None if value is None or rate is None else value * rate
        return None if converted is None or abs(converted) >= TOO_MUCH else converted


@dataclass(frozen=True, slots=True)
class Purchase:
    """One transaction; without an amount it is 0, and `revenue` is None without a rate."""

    event: Event
    transaction_id: str
    original_amount: Decimal
    original_currency: str
    revenue: Decimal | None

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

    @property
    def key(self) -> tuple[str, str]:
        """Application and transaction."""
        return self.event.application_id, self.transaction_id


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund; `returned` is None without a rate, and `is_excess` if a part does not count."""

    event: Event
    purchase: Purchase | None
    returned: Decimal | None
    is_excess: bool = False

    @property
    def player(self) -> tuple[str, str] | None:
        """Application and player of the purchase, or of the refund if the purchase is unknown."""
        if self.purchase:
            return self.purchase.player
        player_id = self.event.player_id
        return (self.event.application_id, player_id) if player_id else None


def _transaction(event: Event) -> tuple[str, str]:
    return event.application_id, event.value("transaction_id") or event.event_id


def _is_refund(event: Event) -> bool:
    """Whether an event is a refund, which a purchase with an amount below zero is as well."""
    if event.event_type == "iap_transaction":
        return (amount(event.value("currency_amount")) or ZERO) < 0
    return event.event_type == "iap_refund"


def purchases(events: Iterable[Event], rates: Rates) -> list[Purchase]:
    """The earliest purchase of each transaction."""
    first: dict[tuple[str, str], Event] = {}
    for event in events:
        if event.event_type == "iap_transaction" and not _is_refund(event):
            key = _transaction(event)
            if key not in first or event.order < first[key].order:
                first[key] = event
    found = []
    for (_, transaction_id), event in first.items():
        original = amount(event.value("currency_amount")) or ZERO
        code = currency(event.value("currency_type"), None) or rates.reporting
        revenue = _rounded(rates.converted(original, code, event.event_date))
        found.append(Purchase(event, transaction_id, original, code, revenue))
    return found


def _rounded(value: Decimal | None) -> Decimal | None:
    return None if value is None else money(value)


def refunds(events: Iterable[Event], bought: Iterable[Purchase], rates: Rates) -> list[Refund]:
    """All refunds; those of one transaction are settled one after the other, by time."""
    by_transaction: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        if _is_refund(event):
            by_transaction[_transaction(event)].append(event)
    known_purchases = {purchase.key: purchase for purchase in bought}
    found: list[Refund] = []
    for key, own in by_transaction.items():
        own.sort(key=lambda event: (*event.order, event.event_date))
        purchase = known_purchases.get(key)
        found += _settled(own, purchase, rates) if purchase else _unknown(own, rates)
    return found


def _asked(event: Event, rates: Rates, default: str) -> tuple[Decimal | None, str, Decimal | None]:
    """What a refund asks for: amount, currency, and amount in the reporting currency."""
    asked = amount(event.value("currency_amount"))
    asked = None if asked is None else abs(asked)
    code = currency(event.value("currency_type"), None) or default
    return asked, code, _rounded(rates.converted(asked, code, event.event_date))


def _unknown(own: Iterable[Event], rates: Rates) -> list[Refund]:
    found = []
    for event in own:
        asked, _, converted = _asked(event, rates, rates.reporting)
        found.append(Refund(event, None, ZERO if asked is None else converted))
    return found


def _settled(own: Iterable[Event], purchase: Purchase, rates: Rates) -> list[Refund]:
    """Give each refund what it asks for, as long as something of the purchase is left."""
    left_amount, left_revenue = purchase.original_amount, purchase.revenue
    asked_in_all, is_mixed, is_over = ZERO, False, False
    found = []
    for event in own:
        asked, code, converted = _asked(event, rates, purchase.original_currency)
        was_over = is_over
        asked_in_all += converted or ZERO
        if asked is not None and code == purchase.original_currency:
            left_amount -= asked
        else:
            is_mixed = is_mixed or code != purchase.original_currency
        is_over = is_over or asked is None or left_amount <= 0
        returned: Decimal | None
        if left_revenue is None:
            returned = None
        elif is_over:
            returned = left_revenue
        else:
            returned = ZERO if asked == 0 else converted and min(converted, left_revenue)
        if left_revenue is not None:
            left_revenue -= returned or ZERO
        beyond = is_mixed and purchase.revenue is not None and asked_in_all > purchase.revenue
        is_excess = bool(asked) and (was_over or left_amount < 0 or beyond)
        found.append(Refund(event, purchase, returned, is_excess))
    return found


def firsts(found: Iterable[Purchase]) -> dict[tuple[str, str], Purchase]:
    """The first purchase of each player."""
    first: dict[tuple[str, str], Purchase] = {}
    for purchase in found:
        player = purchase.player
        if player and (player not in first or purchase.order < first[player].order):
            first[player] = purchase
    return first


def fct_purchases(found: list[Purchase], returned: Iterable[Refund]) -> Table:
    """One row per application and transaction."""
    first = firsts(purchase for purchase in found if purchase.is_paid)
    own: dict[tuple[str, str], list[Refund]] = defaultdict(list)
    for refund in returned:
        if refund.purchase:
            own[refund.purchase.key].append(refund)
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
            "refunded_at": min(
                (
                    utc_time(refund.event.event_timestamp)
                    for refund in own[purchase.key]
                    if refund.returned is None or refund.returned
                ),
                default=None,
            ),
            "refunded_revenue": _sum(refund.returned for refund in own[purchase.key]),
            "is_first_purchase": purchase.player is not None
            and first.get(purchase.player) is purchase,
        }
        for purchase in found
    ]


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of the values; None if one of them is None."""
    total: Decimal | None = ZERO
    for value in values:
        total = None if total is None or value is None else total + value
    return total


def refunds_by_day(returned: Iterable[Refund]) -> dict[tuple[str, str, date], Decimal]:
    """What refunds return by application, player and day; those without a rate are left out."""
    sums: dict[tuple[str, str, date], Decimal] = defaultdict(Decimal)
    for refund in returned:
        if refund.player:
            sums[*refund.player, refund.event.event_date] += refund.returned or ZERO
    return dict(sums)


def refund_health(returned: Iterable[Refund]) -> dict[str, Counter[date]]:
    """How many refunds of each day have no purchase, or are of more than is left of it."""
    found = list(returned)
    return {
        "unknown_refund_count": Counter(r.event.event_date for r in found if r.purchase is None),
        "excess_refund_count": Counter(r.event.event_date for r in found if r.is_excess),
    }


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
    euros = euro_rate(given(row.get("baserateeuro")))
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
