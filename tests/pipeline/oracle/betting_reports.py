"""The betting reports by segment and by cohort, with the fees of the shipped seed."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from math import sqrt
from pathlib import Path
from typing import NamedTuple

from tests.pipeline.oracle.events import Table
from tests.pipeline.oracle.lake import Row, table
from tests.pipeline.oracle.values import (
    EXACT,
    cell,
    given,
    given_id,
    iso_day,
    money,
    money_per,
    ratio,
)

UNKNOWN = "Unknown"
AMOUNTS = (
    *("bonus_turnover", "turnover", "winnings", "ggr", "bonus_cost", "ngr"),
    *("provider_fee", "payment_fee", "tax", "full_ngr"),
)
_BASES = {
    "ggr": "gross_result",
    "ngr": "cash_result",
    "turnover": "turnover",
    "cash_turnover": "cash_turnover",
}
_SEGMENTS = ("provider", "category", "country", "age_band", "vip", "kyc")
_BANDS = ((18, "under 18"), (25, "18-24"), (35, "25-34"), (45, "35-44"), (55, "45-54"))
_LEAST_PLAYERS = 30
_LARGEST, _LARGEST_RATIO = Decimal(10) ** 10, 50
_ZERO, _SIX, _EIGHT = Decimal(0), Decimal("1e-6"), Decimal("1e-8")


class Fee(NamedTuple):
    """A row of the seed."""

    kind: str
    applies_to: str
    base: str
    rate: Decimal
    first: date


class Player(NamedTuple):
    """The current state of a ledger player."""

    country: str
    birth: date | None
    vip: bool
    kyc: bool


class Bet(NamedTuple):
    """The bets of a player, day and game with their segments; an unknown amount is None."""

    day: date
    player_id: str
    bet_count: int
    segments: Mapping[str, str]
    amounts: Mapping[str, Decimal | None]


def read_fees(seed: Path) -> list[Fee]:
    """The rows of a seed of fees."""
    with seed.open(newline="") as stream:
        return [
            Fee(
                row["fee"], row["applies_to"], row["base"], Decimal(row["rate"]),
                date.fromisoformat(row["valid_from"]),
            )
            for row in csv.DictReader(stream)
        ]  # fmt: skip


def _day(value: object) -> date | None:
    """The day of an ISO text or of a spreadsheet's day number."""
    found = (cell(given(value)) or "").strip(" ")
    if re.fullmatch(r"[1-9][0-9]{0,5}(\.0+)?", found):
        return date(1899, 12, 30) + timedelta(days=int(found.partition(".")[0]))
    return iso_day(found) if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", found) else None


def _flag(value: object) -> bool:
    return (cell(value) or "").lower() in {"1", "true", "t", "y", "yes"}


def players(rows: Iterable[Row]) -> dict[str, Player]:
    """The latest state of each player; of two equally late ones the first by its values."""
    states: dict[str, list[tuple[object, Player]]] = defaultdict(list)
    for row in rows:
        if player_id := given_id(row.get("playerid")):
            text = given(row.get("latestupdate")) or ""
            country, birth = (given(row.get("country")) or "").upper(), _day(row.get("birthdate"))
            gender, state = given(row.get("gender")) or "", given(row.get("playerstate")) or ""
            vip, kyc = _flag(row.get("vip")), _flag(row.get("kyc"))
            updated = _day(row.get("latestupdate"))
            earliness = -updated.toordinal() if updated else 1
            rest = country, str(birth or ""), gender, state, vip, kyc
            order = earliness, (*(-ord(letter) for letter in text), 1), rest
            states[player_id].append((order, Player(country or UNKNOWN, birth, vip, kyc)))
    return {player_id: min(found)[1] for player_id, found in states.items()}


def _names(
    rows: Iterable[Row], key: str, column: str, chosen: Callable[[list[str]], str]
) -> dict[str, str]:
    """One value of a column for each key that has any."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        identity, value = given(row.get(key)), given(row.get(column))
        if identity and value:
            found[identity].append(value)
    return {identity: chosen(values) for identity, values in found.items()}


def age_band(birth: date | None, day: date) -> str:
    """The age band on a day."""
    if birth is None:
        return UNKNOWN
    age = day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
    return next(
        (band for limit, band in _BANDS if age < limit), "55-64" if age < 65 else "65 and over"
    )


def _fee(fees: list[Fee], kind: str, own: str, bet: Row) -> Decimal | None:
    """The fee of a bet by the latest own rate of the day, else by the latest default rate."""
    day = bet["bet_date"]
    assert isinstance(day, date)
    for applies_to in (own, "default"):
        valid = [f for f in fees if (f.kind, f.applies_to) == (kind, applies_to) and f.first <= day]
        if valid:
            fee = max(valid, key=lambda fee: fee.first)
            base = bet[_BASES[fee.base]]
            if not fee.rate:
                return _ZERO
            return money(base * fee.rate) if isinstance(base, Decimal) else None
    return _ZERO


def _total(values: Iterable[Decimal | None]) -> Decimal | None:
    listed = list(values)
    known = [value for value in listed if value is not None]
    return sum(known, _ZERO) if len(known) == len(listed) else None


def results(lake: Path, bets: Table, fees: list[Fee]) -> list[Bet]:
    """The rows of `fct_bets` with their segments and fees."""
    provider_of = _names(table(lake, "games"), "id", "gameproviderid", max)
    providers = _names(table(lake, "game_providers"), "id", "game_provider_name", max)
    categories = _names(table(lake, "game_categories"), "game_id", "game_category", min)
    known_players = players(table(lake, "players"))
    found = []
    for row in bets:
        day, player_id, game_id = row["bet_date"], str(row["player_id"]), str(row["game_id"])
        assert isinstance(day, date)
        player, provider = known_players.get(player_id), provider_of.get(game_id, UNKNOWN)
        country = player.country if player else UNKNOWN
        segments = {
            "provider": providers.get(provider, UNKNOWN),
            "category": categories.get(game_id, UNKNOWN),
            "country": country,
            "age_band": age_band(player.birth if player else None, day),
            "vip": ("no", "yes")[player.vip] if player else UNKNOWN,
            "kyc": ("no", "yes")[player.kyc] if player else UNKNOWN,
        }
        amounts = {
            name: value if isinstance(value := row[column], Decimal) else None
            for name, column in (
                ("bonus_turnover", "bonus_turnover"), ("turnover", "turnover"),
                ("winnings", "winnings"), ("ggr", "gross_result"),
                ("bonus_cost", "bonus_result"), ("ngr", "cash_result"),
            )
        }  # fmt: skip
        parts = [
            _fee(fees, kind, provider if kind == "provider" else country, row)
            for kind in ("provider", "payment", "tax")
        ]
        amounts |= dict(zip(("provider_fee", "payment_fee", "tax"), parts, strict=True))
        taken = _total(parts)
        ngr = amounts["ngr"]
        amounts["full_ngr"] = None if ngr is None or taken is None else ngr - taken
        found.append(Bet(day, player_id, int(str(row["bet_count"])), segments, amounts))
    return found


def by_segment(bets: Iterable[Bet]) -> Table:
    """One row per day, segment and value."""
    groups: dict[tuple[date, str, str], list[Bet]] = defaultdict(list)
    for bet in bets:
        for name in _SEGMENTS:
            groups[bet.day, name, bet.segments[name]].append(bet)
    rows: Table = []
    for (day, name, value), own in groups.items():
        sums = {amount: _total(bet.amounts[amount] for bet in own) for amount in AMOUNTS}
        active = {bet.player_id for bet in own if bet.bet_count}
        count = sum(bet.bet_count for bet in own)
        turnover, ggr = sums["turnover"], sums["ggr"]
        low, high = _interval(own, turnover, sums["winnings"])
        rows.append(
            {
                **{"bet_date": day, "segment_name": name, "segment_value": value},
                **sums,
                "active_players": len(active),
                "bet_count": count,
                "average_stake": None if turnover is None else money_per(turnover, count),
                "bets_per_player": ratio(count, len(active)),
                "bonus_share_of_turnover": ratio(sums["bonus_turnover"], turnover),
                "bonus_cost_share_of_ggr": ratio(sums["bonus_cost"], ggr),
                "rtp": ratio(sums["winnings"], turnover),
                "rtp_low": low,
                "rtp_high": high,
                "rtp_players": len({bet.player_id for bet in own}),
            }
        )
    return rows


def _interval(
    bets: list[Bet], turnover: Decimal | None, winnings: Decimal | None
) -> tuple[float | None, float | None]:
    """The 95 % interval of the ratio of winnings to turnover, over the players."""
    nothing = None, None
    if turnover is None or winnings is None or turnover <= 0:
        return nothing
    own: dict[str, list[Bet]] = defaultdict(list)
    for bet in bets:
        own[bet.player_id].append(bet)
    pairs = [
        tuple(
            _total(bet.amounts[name] for bet in rows) or _ZERO for name in ("winnings", "turnover")
        )
        for rows in own.values()
    ]
    n, rtp = len(pairs), winnings / turnover
    if n < _LEAST_PLAYERS or abs(rtp) >= _LARGEST_RATIO:
        return nothing
    if any(abs(part) >= _LARGEST for pair in pairs for part in pair):
        return nothing
    rounded = rtp.quantize(_EIGHT, context=EXACT)
    squares = sum(
        (won - rounded * staked).quantize(_SIX, context=EXACT) ** 2 for won, staked in pairs
    )
    margin = 1.959964 * sqrt(float(squares) * n / (n - 1)) / float(turnover)
    if margin >= _LARGEST_RATIO:
        return nothing
    return round(float(rtp) - margin, 8), round(float(rtp) + margin, 8)


def _month(day: date) -> int:
    return day.year * 12 + day.month


def cohorts(bets: list[Bet], today: date, as_of: date | None) -> Table:
    """One row per first month and number of months since, up to the month of the as-of day."""
    as_of = as_of or max((bet.day for bet in bets if bet.day < today), default=None)
    if as_of is None:
        return []
    first_day: dict[str, date] = {}
    for bet in bets:
        first_day[bet.player_id] = min(bet.day, first_day.get(bet.player_id, bet.day))
    rows: Table = []
    for first in sorted({day.replace(day=1) for day in first_day.values()}):
        members = {player for player, day in first_day.items() if day.replace(day=1) == first}
        cumulative: dict[str, Decimal | None] = {"ngr": _ZERO, "full_ngr": _ZERO}
        for since in range(_month(as_of) - _month(first) + 1):
            number = _month(first) + since
            own = [bet for bet in bets if bet.player_id in members and _month(bet.day) == number]
            sums = {amount: _total(bet.amounts[amount] for bet in own) for amount in AMOUNTS[1:]}
            active = len({bet.player_id for bet in own if bet.bet_count})
            is_mature = number < _month(as_of + timedelta(days=1))
            row: dict[str, object] = {
                **{"first_bet_month": first, "months_since": since, "players": len(members)},
                "active_players": active,
                "active_rate": ratio(active, len(members)) if is_mature else None,
                "is_mature": is_mature,
            }
            row |= {name: sums[name] for name in ("turnover", "ggr", "ngr", *AMOUNTS[6:])}
            for name, before in cumulative.items():
                cumulative[name] = total = _total([before, sums[name]])
                row[f"cumulative_{name}"] = total
                row[f"cumulative_{name}_per_player"] = (
                    money_per(total, len(members)) if is_mature and total is not None else None
                )
            rows.append(row)
    return rows
