"""The betting ledger: bets by day, player and game, and the report by day and game."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from itertools import product
from typing import NamedTuple

from tests.pipeline.oracle.events import Table
from tests.pipeline.oracle.lake import Placed
from tests.pipeline.oracle.money import ZERO, Rates
from tests.pipeline.oracle.values import comma_amount, currency, known, money, ratio

_KINDS = ("cash", "bonus")


class Transaction(NamedTuple):
    """A valid row of the ledger."""

    bet_date: date
    player_id: str
    game_id: str
    bet_id: str
    is_wager: bool
    currency: str
    cash: Decimal
    bonus: Decimal


def transaction(placed: Placed, reporting: str) -> Transaction | None:
    """A row as a transaction; None if it is not valid."""
    row = placed.row
    kind = (known(row.get("txtype")) or "").strip(" ").upper()
    ids = [known(row.get(name)) for name in ("playerid", "gameid", "betid")]
    player_id, game_id, bet_id = ids
    amounts = [known(row.get(name)) or "0" for name in ("realamount", "bonusamount")]
    cash, bonus = map(comma_amount, amounts)
    if kind not in {"WAGER", "RESULT"} or not player_id or not game_id or not bet_id:
        return None
    if cash is None or bonus is None:
        return None
    code = currency(row.get("txcurrency"), None) or reporting
    is_wager = kind == "WAGER"
    return Transaction(placed.day, player_id, game_id, bet_id, is_wager, code, cash, bonus)


def fct_bets(transactions: Iterable[Transaction], rates: Rates) -> Table:
    """One row per day, player and game; a sum with a part that has no rate is None."""
    sums: dict[tuple[date, str, str], dict[tuple[bool, str], Decimal | None]] = {}
    bet_counts: Counter[tuple[date, str, str]] = Counter()
    for entry in transactions:
        key = entry.bet_date, entry.player_id, entry.game_id
        own = sums.setdefault(key, dict.fromkeys(product((True, False), _KINDS), ZERO))
        bet_counts[key] += entry.is_wager
        rate = rates.rate(entry.bet_date, entry.currency)
        for kind, amount in zip(_KINDS, (entry.cash, entry.bonus), strict=True):
            converted = None if rate is None else amount * rate
            own[entry.is_wager, kind] = _plus(own[entry.is_wager, kind], converted)
    rows: Table = []
    for (bet_date, player_id, game_id), own in sums.items():
        cash_turnover, bonus_turnover, cash_winnings, bonus_winnings = (
            None if (value := own[place]) is None else money(value)
            for place in product((True, False), _KINDS)
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
    """The sum; None if one of the values is not known."""
    known_values = [value for row in rows if isinstance(value := row[column], Decimal)]
    return sum(known_values, ZERO) if len(known_values) == len(rows) else None


def rpt_betting(bets: Table, transactions: list[Transaction]) -> Table:
    """One row per day and game; a bet's other half may lie on any day of the ledger."""
    wagers = {entry.bet_id for entry in transactions if entry.is_wager}
    results = {entry.bet_id for entry in transactions if not entry.is_wager}
    counts: dict[tuple[object, object], Counter[str]] = defaultdict(Counter)
    for entry in transactions:
        own = counts[entry.bet_date, entry.game_id]
        own["bets"] += entry.is_wager
        own["unsettled"] += entry.is_wager and entry.bet_id not in results
        own["without_wager"] += not entry.is_wager and entry.bet_id not in wagers
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


def ledger_health(landed: Mapping[date, int], transactions: Iterable[Transaction]) -> Table:
    """How many rows of each day's ledger there are, and how many of them are not valid."""
    valid = Counter(entry.bet_date for entry in transactions)
    return [
        {
            "source_name": "game_transactions",
            "health_date": day,
            "landed_count": count,
            "rejected_count": 0,
            "schema_mismatch_count": count - valid[day],
            "duplicate_count": 0,
            "shared_transaction_count": 0,
        }
        for day, count in landed.items()
    ]
