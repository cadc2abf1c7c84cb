"""Writes a large, seeded ledger into a lake, for the test of the betting marts.

`python -m tests.pipeline.ledger LAKE [TRANSACTIONS]` writes one from the command line.
"""

from __future__ import annotations

import csv
import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

CURRENCIES = {"USD": 0.92, "EUR": 1.0, "GBP": 1.17, "SEK": 0.088, "YEN": 0.0061, "BRL": 0.16}
COLUMNS = (
    "realamount",
    "bonusamount",
    "channeluid",
    "txcurrency",
    "gameid",
    "txtype",
    "betid",
    "playerid",
)
SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])
LAST_DAY = date(2026, 11, 20)
GAMES, PLAYERS, CHANNELS = 120, 4000, ("web", "ios", "android")

Transaction = tuple[str, ...]


def _amount(rng: random.Random, up_to_cents: int) -> str:
    """An amount with comma or point; most have two decimals, some have eight."""
    if rng.random() < 0.01:
        return rng.choice(("", "0", "0,00", "-1.25"))
    if rng.random() < 0.05:
        value = f"{rng.randrange(up_to_cents) / 100 + rng.randrange(10**6) / 1e8:.8f}"
    else:
        value = f"{rng.randrange(up_to_cents) / 100:.2f}"
    return value.replace(".", ",") if rng.random() < 0.5 else value


def _bets(rng: random.Random, days: int) -> Iterator[tuple[int, Transaction]]:
    """Yield rows with the number of their day, without end. Most wagers are settled, and some wins
    have no wager.
    """
    number = 0
    while True:
        number += 1
        day, game = rng.randrange(days), f"g{int(rng.triangular(0, GAMES, 0))}"
        player = f"p{int(rng.triangular(0, PLAYERS, 0))}"
        ids = (rng.choice(CHANNELS), rng.choice(tuple(CURRENCIES)), game)
        bonus = _amount(rng, 500) if rng.random() < 0.2 else "0"
        fate = rng.random()
        if fate < 0.995:
            yield day, (_amount(rng, 5000), bonus, *ids, "WAGER", f"b{number}", player)
        if fate > 0.02:
            settled = min(day + (rng.random() < 0.01), days - 1)
            won = _amount(rng, 9000) if rng.random() < 0.45 else "0.00"
            yield settled, (won, bonus, *ids, "RESULT", f"b{number}", player)


def _broken(rng: random.Random, row: Transaction) -> Transaction:
    """The row with one value that makes it invalid."""
    place, value = rng.choice(
        (
            (0, "n/a"),
            (1, "1.234.5"),
            (0, "99999999999"),
            (4, ""),
            (5, "ROLLBACK"),
            (6, ""),
            (7, ""),
        )
    )
    return (*row[:place], value, *row[place + 1 :])


def _rates(rng: random.Random, first: date, days: int) -> Iterator[tuple[str, str, str]]:
    """Random rates from the first day on, with up to three missing days in a row."""
    for currency, start in CURRENCIES.items():
        if currency == "EUR":
            continue
        day = 0
        while day < days:
            rate = start * rng.uniform(0.97, 1.03)
            yield (first + timedelta(days=day)).isoformat(), currency, f"{rate:.8f}"
            day += 1 + rng.choice((0, 0, 0, 0, 1, 2, 3))


def _write_csv(path: Path, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


def _write_dimensions(lake: Path) -> None:
    """Write the games, providers, categories and players of all keys in the ledger."""
    games = [(f"g{n}", f"Game {n}", str(n % 9)) for n in range(GAMES)]
    _write_csv(lake / "games" / "games.csv", ("id", "game_name", "gameproviderid"), games)
    providers = [(str(n), f"Provider {n}") for n in range(9)]
    _write_csv(lake / "game_providers" / "providers.csv", ("id", "game_provider_name"), providers)
    categories = [(f"g{n}", ("slots", "table", "live")[n % 3]) for n in range(GAMES)]
    _write_csv(
        lake / "game_categories" / "categories.csv", ("game_id", "game_category"), categories
    )
    # Some players complete a year of age on one of the ledger's days.
    players = [
        (
            *(f"p{n}", ("SE", "DE", "")[n % 3], f"{1950 + n % 57}-11-{1 + n % 28:02}", "F"),
            *("active", str(n % 7 == 0), "true", "false", "2026-01-01"),
        )
        for n in range(PLAYERS)
    ]
    header = ("playerid", "country", "birthdate", "gender", "playerstate", "vip", "kyc")
    _write_csv(
        lake / "players" / "players.csv", (*header, "wantsnewsletter", "latestupdate"), players
    )


def write_ledger(
    lake: Path,
    transactions: int = 1_000_000,
    days: int = 30,
    seed: int = 1,
    broken: float = 0.0002,
) -> None:
    """Write a ledger of `transactions` rows on `days` days up to `LAST_DAY`, with its other files.

    Amounts are texts with comma or point in six currencies, one of which is YEN. Exchange rates
    have gaps of up to three days. `broken` is the share of invalid rows. The same arguments give
    the same files.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible on purpose, nothing secret
    first = LAST_DAY - timedelta(days=days - 1)
    by_day: dict[int, list[Transaction]] = defaultdict(list)
    for count, (day, row) in enumerate(_bets(rng, days)):
        if count == transactions:
            break
        by_day[day].append(_broken(rng, row) if rng.random() < broken else row)
    for day, rows in by_day.items():
        folder = lake / "game_transactions" / f"date={first + timedelta(days=day)}"
        folder.mkdir(parents=True, exist_ok=True)
        columns = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
        pq.write_table(pa.table(columns, schema=SCHEMA), folder / "part-0.parquet")
    _write_csv(
        lake / "currency_exchange" / "rates.csv",
        ("date", "currency", "baserateeuro"),
        list(_rates(rng, first, days)),
    )
    _write_dimensions(lake)


if __name__ == "__main__":
    write_ledger(Path(sys.argv[1]), int((*sys.argv[2:3], "1000000")[0]))
