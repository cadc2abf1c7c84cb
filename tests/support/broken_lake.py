"""Generates files of the ledger and of costs, and computes what the marts must hold of them.

Each row has an id of its own and values that are hard to read. `Truth` computes the rows of the
marts from the generated values alone, with Python's decimals and without the product's code.
"""

from __future__ import annotations

import gzip
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from tests.support.hand_lake import LEDGER_COLUMNS
from tests.support.ledger_breakages import CSV, JSON, PARQUET, Broken, LedgerFile, Row

TRANSACTIONS = "game_transactions"
FIRST_DAY = date(2026, 1, 1)
"""The first day of broken files."""
WHOLE_DAY = FIRST_DAY - timedelta(10)
"""The day of the whole files that are built before any file is broken."""
GAMES, PROVIDERS = 8, 3
EURO_RATES = {"USD": Decimal("0.5"), "GBP": Decimal("1.25")}
"""The rates of every day in the whole file of rates. The reporting currency is USD."""
_RATES = {None: Decimal(1), "USD": Decimal(1), "EUR": Decimal(2), "gbp": Decimal("2.5")}
"""The values of the currencies of bets and costs in US dollars."""
_PIECES = ('"', ",", ";", "\t", "|", "é", "😀", "\\", "'", "\u2028", "\x85", "{", "]", "#", '","')
_FLAGS = {"1": True, "true": True, "Yes": True, "0": False, None: False, "no": False}

Effect: TypeAlias = tuple[Any, ...]


class Entry(NamedTuple):
    """A row: its values, what it adds to the marts, and the reason if it must be quarantined."""

    values: Row
    effect: Effect
    fault: str | None = None


@dataclass(frozen=True)
class Source:
    """The rows of a file of one source. `day` is that of its partition, None if it has none."""

    name: str
    key: str
    day: date | None
    columns: tuple[str, ...]
    entries: tuple[Entry, ...]


class Values(random.Random):
    """Random values. If `is_plain`, few rows of a CSV file need quotes."""

    is_plain = False


def text(rng: Values, start: str) -> str:
    """A text that begins with `start` and may be hard to read in one of the formats."""
    if rng.is_plain or rng.random() < 0.6:
        return start
    return f"{start} {''.join(rng.choices(_PIECES, k=rng.randrange(1, 5)))}."


def amount(rng: Values, value: Decimal) -> str:
    """An amount with two decimals in one of the forms that a ledger may have."""
    plain = f"{value:.2f}"
    if rng.is_plain:
        return plain
    grouped = f"{value:,.2f}"
    forms = [plain, plain, plain.replace(".", ","), grouped, f" {plain} "]
    forms.append(grouped.translate(str.maketrans(",.", ".,")))
    forms.append(grouped.replace(",", " "))
    forms.append(grouped.replace(",", "'"))
    if value == int(value):
        forms.append(str(int(value)))
    return rng.choice(forms)


def day_text(rng: Values, day: date) -> str:
    """A day as ISO date, as time, or as day number of a spreadsheet."""
    number = str((day - date(1899, 12, 30)).days)
    return rng.choice((day.isoformat(), f"{day}T00:00:00Z", number, f"{number}.0"))


def _cents(rng: Values) -> Decimal:
    return Decimal(rng.choice((0, rng.randrange(10_000), rng.randrange(300_000)))) / 100


def _with_fault(
    rng: Values, values: dict[str, str | None], faults: Sequence[tuple[str, str | None, str]]
) -> str | None:
    """Give one row in twelve a value that is not valid; returns the reason or None."""
    if rng.random() > 1 / 12:
        return None
    column, value, reason = rng.choice(faults)
    values[column] = value
    return reason


def _transaction(rng: Values, key: str, number: int, day: date) -> Entry:
    kind = rng.choice(("WAGER", "wager", "RESULT", "Jackpot"))
    cash, bonus = _cents(rng), _cents(rng) if rng.random() < 0.3 else Decimal(0)
    currency = rng.choice(tuple(_RATES))
    game = f"g{rng.randrange(GAMES + 2)}"
    player = text(rng, f"p{rng.randrange(3)}")
    no_bonus = rng.choice(("0", "", None, ".00", "\\N", "NULL"))
    values: dict[str, str | None] = {
        "realamount": amount(rng, cash),
        "bonusamount": amount(rng, bonus) if bonus else no_bonus,
        "channeluid": text(rng, f"{key}-{number}"),
        "txcurrency": currency,
        "gameid": game,
        "txtype": kind,
        "betid": f"b{key}-{number}",
        "playerid": player,
    }
    faults = (
        ("realamount", "n/a", "amount_not_readable"),
        ("bonusamount", "1.234.5", "amount_not_readable"),
        ("realamount", "1,234", "ambiguous_amount"),
        ("gameid", None, "missing_game_id"),
        ("txtype", "PARKED", "unknown_transaction_type"),
        ("txtype", "nan", "missing_transaction_type"),
        ("betid", "\\N", "missing_bet_id"),
        ("playerid", "null", "missing_player_id"),
    )
    fault = _with_fault(rng, values, faults)
    rate = _RATES[currency]
    effect = (day, player, game, kind.upper() == "WAGER", cash * rate, bonus * rate)
    return Entry(tuple(values.values()), effect, fault)


def _rate(rng: Values, key: str, number: int, day: date) -> Entry:
    euro_rate = Decimal(number + 11) / 1000
    currency = f"X{key}N{number}".upper()
    values: dict[str, str | None] = {
        "date": day_text(rng, day),
        "currency": rng.choice((currency, currency.lower())),
        "baserateeuro": rng.choice((str(euro_rate), f"{euro_rate}0000000000")),
    }
    faults = (
        ("date", "2026-02-30", "date_not_readable"),
        ("currency", "", "missing_currency"),
        ("baserateeuro", "-0.5", "rate_not_positive"),
        ("baserateeuro", "none", "rate_not_readable"),
        ("baserateeuro", "1,234", "ambiguous_amount"),
    )
    fault = _with_fault(rng, values, faults)
    return Entry(tuple(values.values()), (day, currency, euro_rate / EURO_RATES["USD"]), fault)


def _game(rng: Values, key: str, number: int, _day: date) -> Entry:
    game, name = text(rng, f"G{key}-{number}"), text(rng, f"name {number}")
    provider = f"v{rng.randrange(PROVIDERS)}"
    values: dict[str, str | None] = {"id": game, "game_name": name, "gameproviderid": provider}
    fault = _with_fault(rng, values, (("id", "NULL", "missing_game_id"),))
    return Entry(tuple(values.values()), (game, name, provider), fault)


def _provider(rng: Values, key: str, number: int, _day: date) -> Entry:
    provider, name = f"V{key}-{number}", text(rng, f"maker {number}")
    values: dict[str, str | None] = {"id": provider, "game_provider_name": name}
    fault = _with_fault(rng, values, (("id", None, "missing_game_provider_id"),))
    return Entry(tuple(values.values()), (provider, name), fault)


def _category(rng: Values, key: str, number: int, _day: date) -> Entry:
    game, category = f"C{key}-{number}", text(rng, f"slots {number}")
    values: dict[str, str | None] = {"game_id": game, "game_category": category}
    fault = _with_fault(rng, values, (("game_id", "nan", "missing_game_id"),))
    return Entry(tuple(values.values()), (game, category), fault)


def _player(rng: Values, key: str, number: int, _day: date) -> Entry:
    player = text(rng, f"P{key}-{number}")
    updated = FIRST_DAY + timedelta(rng.randrange(300))
    gender, state = rng.choice(("f", "m", None, "\\N")), text(rng, f"state {number}")
    flags = [rng.choice(tuple(_FLAGS)) for _ in range(3)]
    country = rng.choice(("SE", "mt", None))
    values: dict[str, str | None] = {
        "playerid": player,
        "country": country,
        "birthdate": "1990-01-31",
        "gender": gender,
        "playerstate": state,
        "vip": flags[0],
        "kyc": flags[1],
        "wantsnewsletter": flags[2],
        "latestupdate": day_text(rng, updated),
    }
    fault = _with_fault(rng, values, (("playerid", "None", "missing_player_id"),))
    known_gender = gender if gender in ("f", "m") else "Unknown"
    effect = (player, (country or "Unknown").replace("mt", "MT"), known_gender, state)
    return Entry(
        tuple(values.values()), (*effect, *(_FLAGS[flag] for flag in flags), updated), fault
    )


def _cost(rng: Values, key: str, number: int, day: date) -> Entry:
    spent, currency = Decimal(number) + _cents(rng), rng.choice(tuple(_RATES))
    channel = text(rng, f"channel {key}-{number % 3}")
    values: dict[str, str | None] = {
        "date": day_text(rng, day),
        "acquisition_channel": channel,
        "campaign_id": text(rng, f"{key}-{number}"),
        "currency": currency,
        "amount": amount(rng, spent),
    }
    faults = (
        ("date", "soon", "date_not_readable"),
        ("amount", "n/a", "amount_not_readable"),
        ("amount", None, "amount_not_readable"),
        ("amount", "9,999", "ambiguous_amount"),
    )
    fault = _with_fault(rng, values, faults)
    return Entry(tuple(values.values()), (day, channel, spent * _RATES[currency]), fault)


_ROWS: dict[str, Callable[[Values, str, int, date], Entry]] = {
    TRANSACTIONS: _transaction,
    "currency_exchange": _rate,
    "games": _game,
    "game_providers": _provider,
    "game_categories": _category,
    "players": _player,
    "marketing_spend": _cost,
}
SOURCES = tuple(_ROWS)


def generate(seed: int, name: str, key: str, day: date, count: int) -> Source:
    """Rows of a source with ids that contain the key. Equal rows are generated once."""
    rng = Values(seed)
    rng.is_plain = rng.random() < 0.5
    made = {(entry := _ROWS[name](rng, key, n, day)).values: entry for n in range(count)}
    partition = day if name == TRANSACTIONS else None
    return Source(name, key, partition, LEDGER_COLUMNS[name], tuple(made.values()))


def without(source: Source, column: str) -> Source:
    """The rows without one of the columns."""
    at = source.columns.index(column)
    entries = [
        entry._replace(values=(*entry.values[:at], *entry.values[at + 1 :]))
        for entry in source.entries
    ]
    columns = (*source.columns[:at], *source.columns[at + 1 :])
    return Source(source.name, source.key, source.day, columns, tuple(entries))


def rows_in(file: LedgerFile, broken: Broken) -> tuple[dict[int, int], list[int]]:
    """The rows that a broken file still holds unchanged, and the lines that hold something else.

    The rows are given by their index, each with the number of its line. Raises an error if the file
    cannot be decompressed or decoded.
    """
    if file.format == PARQUET:
        return {at: at + 1 for at in range(len(broken.rows))}, []
    places: dict[str, int] = {}
    columns = [name.upper() for name in file.columns]
    upper = LedgerFile(file.format, tuple(columns), file.rows)
    for at, row in enumerate(file.rows):
        line = file.line(row)
        forms = (line, upper.line(row)) if file.format == JSON else (line, line + file.delimiter)
        places |= dict.fromkeys(forms, at)
    content = broken.content
    if broken.ending.lower().endswith(".gz"):
        content = gzip.decompress(content)
    found: dict[int, int] = {}
    others: list[int] = []
    is_header = file.format == CSV
    for number, written in enumerate(content.decode("utf-8-sig").split("\n"), 1):
        line = written.removesuffix("\r")
        if not line.strip():
            continue
        if line in places:
            found[places[line]] = number
        elif is_header:
            is_header = line.startswith("sep=")
        elif file.format == JSON and (parts := list(_side_by_side(line, places))):
            found |= dict.fromkeys(parts, number)
        else:
            others.append(number)
    return found, others


def _side_by_side(line: str, places: dict[str, int]) -> Iterator[int]:
    """The rows of a line that consists of nothing but rows."""
    left, found = line, []
    for row, at in places.items():
        if row in left:
            left = left.replace(row, "", 1)
            found.append(at)
    if not left.strip():
        yield from found


@dataclass
class Truth:
    """The rows that the marts must hold of the files that were added.

    `quarantined` counts source, day, file, line and reason of each bad row. The reason of a line
    that is no row is `unreadable`. `delivered` counts all rows by source and day.
    """

    bets: dict[tuple[Any, ...], list[Decimal]] = field(default_factory=dict)
    rates: dict[tuple[date, str], Decimal] = field(default_factory=dict)
    games: dict[str, tuple[str, str]] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=dict)
    players: set[Effect] = field(default_factory=set)
    costs: dict[tuple[date, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    quarantined: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    delivered: Counter[tuple[str, date | None]] = field(default_factory=Counter)

    def add(self, source: Source, name: str, file: LedgerFile, broken: Broken) -> None:
        """Add the rows that a file of this name holds."""
        found, others = rows_in(file, broken)
        lost = set(range(len(source.entries))) - set(found) - broken.touched
        assert not lost, f"{name}: the breakage lost rows that it did not touch"
        place = (source.name, source.day, name)
        self.delivered[place[:2]] += len(found) + len(others)
        self.quarantined.update((*place, line, "unreadable") for line in others)
        for at, line in found.items():
            entry = source.entries[at]
            if entry.fault:
                self.quarantined[(*place, line, entry.fault)] += 1
            else:
                self._add(source.name, entry.effect)

    def _add(self, source: str, effect: Effect) -> None:
        if source == TRANSACTIONS:
            *key, is_wager, cash, bonus = effect
            sums = self.bets.setdefault(tuple(key), [Decimal(0)] * 5)
            added = (1, cash, bonus, 0, 0) if is_wager else (0, 0, 0, cash, bonus)
            sums[:] = [old + new for old, new in zip(sums, added, strict=True)]
        elif source == "currency_exchange":
            day, currency, rate = effect
            self.rates[day, currency] = rate
        elif source == "marketing_spend":
            day, channel, spent = effect
            self.costs[day, channel] += spent
        elif source == "players":
            self.players.add(effect)
        elif source == "games":
            self.games[effect[0]] = effect[1:]
        elif source == "game_providers":
            self.providers[effect[0]] = effect[1]
        else:
            self.categories[effect[0]] = effect[1]

    def tables(self) -> dict[str, Counter[tuple[Any, ...]]]:
        """The rows of each mart, with the columns of `QUERIES`."""
        report: dict[tuple[Any, ...], list[Decimal]] = {}
        for (day, _, game), sums in self.bets.items():
            count, cash, bonus, won, won_bonus = sums
            added = [count, Decimal(count > 0), cash + bonus, won + won_bonus, cash - won]
            old = report.setdefault((day, game), [Decimal(0)] * 5)
            old[:] = [a + b for a, b in zip(old, added, strict=True)]
        unknown = ("Unknown", None)
        games = {*self.games, *(str(game) for _, _, game in self.bets)}
        return {
            "fct_bets": Counter((*key, *sums) for key, sums in self.bets.items()),
            "rpt_betting": Counter((*key, *sums) for key, sums in report.items()),
            "int_exchange_rates": Counter(
                (day + timedelta(age), currency, rate)
                for (day, currency), rate in self.rates.items()
                for age in range(8)
            ),
            "dim_games": Counter(
                (
                    game,
                    *(listed := self.games.get(game, unknown)),
                    self.providers.get(str(listed[1]), "Unknown"),
                    self.categories.get(game, "Unknown"),
                )
                for game in games
            ),
            "dim_ledger_players": Counter(self.players),
            "int_marketing_spend": Counter((*key, spent) for key, spent in self.costs.items()),
        }


QUERIES = {
    "fct_bets": "select bet_date, player_id, game_id, bet_count, cash_turnover, bonus_turnover, "
    "cash_winnings, bonus_winnings from marts.fct_bets",
    "rpt_betting": "select bet_date, game_id, bet_count, players, turnover, winnings, ngr "
    "from marts.rpt_betting",
    "int_exchange_rates": "select rate_date, currency, rate from intermediate.int_exchange_rates "
    "where currency not in ('USD', 'EUR', 'GBP')",
    "dim_games": "select game_id, game_name, game_provider_id, game_provider_name, game_category "
    "from marts.dim_games",
    "dim_ledger_players": "select player_id, country, gender, player_state, is_vip, is_verified, "
    "wants_newsletter, updated_date from marts.dim_ledger_players",
    "int_marketing_spend": "select spend_date, acquisition_channel, amount "
    "from intermediate.int_marketing_spend",
}
"""The columns of each mart that `Truth.tables` computes."""
