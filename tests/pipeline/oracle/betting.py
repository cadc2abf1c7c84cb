"""The betting marts: bets by day, player and game, and the report by day and game."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from itertools import product
from typing import NamedTuple

from tests.pipeline.oracle.events import Table
from tests.pipeline.oracle.lake import Placed, Row
from tests.pipeline.oracle.money import ZERO, Rates
from tests.pipeline.oracle.values import (
    amount,
    currency,
    given,
    given_id,
    is_ambiguous,
    money,
    ratio,
)

_KINDS = ("cash", "bonus")
_SIDES = (True, False)
_AMOUNTS = ("realamount", "bonusamount")

_WINNINGS = {"RESULT", "JACKPOT", "FREESPIN_RESULT", "ADJUSTMENT"}
_TYPES = {"WAGER", "ROLLBACK", "CANCEL"} | _WINNINGS


class Transaction(NamedTuple):
    """A row of the ledger that is valid by itself."""

    bet_date: date
    player_id: str
    game_id: str
    bet_id: str
    kind: str
    currency: str
    cash: Decimal
    bonus: Decimal

    @property
    def is_wager(self) -> bool:
        """Whether the row is turnover. Rows of other types are winnings, rollbacks or cancels."""
        return self.kind == "WAGER"

    @property
    def bet(self) -> tuple[str, str]:
        """The key of the bet, which has the game because two games may use the same bet id."""
        return self.game_id, self.bet_id

    @property
    def money(self) -> tuple[Decimal, Decimal]:
        """Real money and bonus money. The winnings of a free spin are bonus money."""
        if self.kind == "FREESPIN_RESULT":
            return ZERO, self.cash + self.bonus
        return self.cash, self.bonus

    @property
    def same(self) -> tuple[object, ...]:
        """The values that a rollback has in common with the row that it takes back."""
        return self.player_id, self.currency, self.cash, self.bonus


class Ledger(NamedTuple):
    """The rows of all bets: booked, taken back or without effect."""

    booked: list[Transaction]
    taken_back: list[tuple[date, Transaction]]
    """The rows that were taken back, each with the day of its rollback or cancel."""
    without_effect: list[tuple[str, Transaction]]
    """Rollbacks and cancels that take nothing back, each with the reason."""

    @property
    def standing(self) -> list[Transaction]:
        """The booked rows that were not taken back."""
        left = list(self.booked)
        for _, entry in self.taken_back:
            left.remove(entry)
        return left


def reason(placed: Placed) -> str | None:
    """The first reason why a row is not valid by itself; None if it is valid."""
    return str(placed.row["problem"]) if "problem" in placed.row else _fault(placed.row)


def _fault(row: Row) -> str | None:
    for name, column, read in (
        ("bet", "betid", given),
        ("player", "playerid", given_id),
        ("game", "gameid", given),
    ):
        if read(row.get(column)) is None:
            return f"missing_{name}_id"
    kind = given(row.get("txtype"))
    if kind is None:
        return "missing_transaction_type"
    if kind.upper() not in _TYPES:
        return "unknown_transaction_type"
    if any(is_ambiguous(given(row.get(name))) for name in _AMOUNTS):
        return "ambiguous_amount"
    if None in _amounts(row):
        return "amount_not_readable"
    return None


def _amounts(row: Row) -> list[Decimal | None]:
    return [amount(given(row.get(name)) or "0") for name in _AMOUNTS]


def transaction(placed: Placed, reporting: str) -> Transaction | None:
    """A row as a transaction; None if `reason` returns one."""
    row = placed.row
    if reason(placed) is not None:
        return None
    player_id, game_id, bet_id = (
        given(row.get(name)) or "" for name in ("playerid", "gameid", "betid")
    )
    cash, bonus = (part or ZERO for part in _amounts(row))
    kind = (given(row.get("txtype")) or "").upper()
    code = currency(given(row.get("txcurrency")), None) or reporting
    return Transaction(placed.day, player_id, game_id, bet_id, kind, code, cash, bonus)


def settled(transactions: Iterable[Transaction]) -> Ledger:
    """Book the rows of each bet day by day, and take back the rows of its rollbacks and cancels."""
    ledger = Ledger([], [], [])
    by_bet: dict[tuple[str, str], list[Transaction]] = defaultdict(list)
    for entry in transactions:
        by_bet[entry.bet].append(entry)
    for entries in by_bet.values():
        _settle(entries, ledger)
    return ledger


def _settle(entries: list[Transaction], ledger: Ledger) -> None:
    """Settle one bet: on each day first the booked rows, then the rollbacks, then the cancels."""
    standing: list[Transaction] = []
    for day in sorted({entry.bet_date for entry in entries}):
        of_day = [entry for entry in entries if entry.bet_date == day]
        wagers = [entry for entry in of_day if entry.is_wager]
        results = sorted(
            (entry for entry in of_day if entry.kind in _WINNINGS), key=lambda entry: entry.kind
        )
        standing += wagers + results
        ledger.booked.extend(wagers + results)
        for entry in of_day:
            if entry.kind == "ROLLBACK":
                places = [n for n, row in enumerate(standing) if row.same == entry.same]
                if places:
                    ledger.taken_back.append((day, standing.pop(places[-1])))
                else:
                    ledger.without_effect.append(("nothing_to_roll_back", entry))
        for entry in of_day:
            if entry.kind == "CANCEL":
                if not standing:
                    ledger.without_effect.append(("nothing_to_cancel", entry))
                ledger.taken_back.extend((day, row) for row in standing)
                standing.clear()


def fct_bets(ledger: Ledger, rates: Rates) -> Table:
    """One row per day, player and game. A sum is None if one of its parts has no rate.

    A row that is taken back is subtracted on the day of its rollback or cancel, at the rate of the
    day on which it was booked.
    """
    sums: dict[tuple[date, str, str], dict[tuple[bool, str], Decimal | None]] = {}
    bet_counts: Counter[tuple[date, str, str]] = Counter()
    counted = [(entry.bet_date, 1, entry) for entry in ledger.booked]
    counted += [(day, -1, entry) for day, entry in ledger.taken_back]
    for day, sign, entry in counted:
        key = day, entry.player_id, entry.game_id
        own = sums.setdefault(key, dict.fromkeys(product(_SIDES, _KINDS), ZERO))
        bet_counts[key] += entry.is_wager and sign > 0
        for kind, part in zip(_KINDS, entry.money, strict=True):
            converted = rates.converted(sign * part, entry.currency, entry.bet_date)
            own[entry.is_wager, kind] = _plus(own[entry.is_wager, kind], converted)
    rows: Table = []
    for (bet_date, player_id, game_id), own in sums.items():
        cash_turnover, bonus_turnover, cash_winnings, bonus_winnings = (
            None if (value := own[place]) is None else money(value)
            for place in product(_SIDES, _KINDS)
        )
        turnover = _plus(cash_turnover, bonus_turnover)
        winnings = _plus(cash_winnings, bonus_winnings)
        rows.append(
            {
                "bet_date": bet_date,
                "player_id": player_id,
                "game_id": game_id,
                "bet_count": bet_counts[bet_date, player_id, game_id],
                "cash_turnover": cash_turnover,
                "bonus_turnover": bonus_turnover,
                "cash_winnings": cash_winnings,
                "bonus_winnings": bonus_winnings,
                "turnover": turnover,
                "winnings": winnings,
                "cash_result": _minus(cash_turnover, cash_winnings),
                "bonus_result": _minus(bonus_turnover, bonus_winnings),
                "gross_result": _minus(turnover, winnings),
            }
        )
    return rows


def _plus(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else one + other


def _minus(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else one - other


def _total(rows: Table, column: str) -> Decimal | None:
    """The sum of a column; None if one of its values is None."""
    known_values = [value for row in rows if isinstance(value := row[column], Decimal)]
    return sum(known_values, ZERO) if len(known_values) == len(rows) else None


def rpt_betting(bets: Table, ledger: Ledger) -> Table:
    """One row per day and game. A wager and its result may lie on different days."""
    standing = ledger.standing
    wagers = {entry.bet for entry in standing if entry.is_wager}
    results = {entry.bet for entry in standing if not entry.is_wager}
    counts: dict[tuple[object, object], Counter[str]] = defaultdict(Counter)
    for entry in ledger.booked:
        counts[entry.bet_date, entry.game_id]["bets"] += entry.is_wager
    for entry in standing:
        own = counts[entry.bet_date, entry.game_id]
        own["unsettled"] += entry.is_wager and entry.bet not in results
        own["without_wager"] += not entry.is_wager and entry.bet not in wagers
    groups: dict[tuple[object, object], Table] = defaultdict(list)
    for bet in bets:
        groups[bet["bet_date"], bet["game_id"]].append(bet)
    rows: Table = []
    for (bet_date, game_id), own_bets in groups.items():
        turnover, winnings = _total(own_bets, "turnover"), _total(own_bets, "winnings")
        ggr = _total(own_bets, "gross_result")
        rows.append(
            {
                "bet_date": bet_date,
                "game_id": game_id,
                "bet_count": counts[bet_date, game_id]["bets"],
                "players": sum(bet["bet_count"] != 0 for bet in own_bets),
                "turnover": turnover,
                "winnings": winnings,
                "ggr": ggr,
                "ngr": _total(own_bets, "cash_result"),
                "rtp": ratio(winnings, turnover),
                "hold": ratio(ggr, turnover),
                "unsettled_wager_count": counts[bet_date, game_id]["unsettled"],
                "wins_without_wager_count": counts[bet_date, game_id]["without_wager"],
            }
        )
    return rows


def ledger_health(landed: Mapping[date, int], left_out: Iterable[tuple[date, str]]) -> Table:
    """The number of rows and of left-out rows of each day."""
    counts = Counter(day for day, _ in left_out)
    return [
        {
            "source_name": "game_transactions",
            "health_date": day,
            "landed_count": count,
            "rejected_count": 0,
            "schema_mismatch_count": counts[day],
            "duplicate_count": 0,
            "shared_transaction_count": 0,
            "unknown_refund_count": 0,
            "excess_refund_count": 0,
        }
        for day, count in landed.items()
    ]
