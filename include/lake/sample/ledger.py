"""The betting ledger and the marketing costs of the sample. Every value is text."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from include.lake.sample.events import CHANNELS

Row = dict[str, str]

# The euro value of one unit of each currency on the first day.
EURO_PER_UNIT = {
    "EUR": 1.0,
    "USD": 0.92,
    "GBP": 1.17,
    "SEK": 0.0885,
    "JPY": 0.0061,
    "CNY": 0.127,
}
PROVIDERS = ("Northern Reels", "Velvet Tables", "Quick Draw Studio", "Live House")
GAMES = (
    "Aurora Gold",
    "Fjord Fortune",
    "Blackjack Classic",
    "Roulette Royale",
    "Comet Crash",
    "Lucky Lantern",
    "Reindeer Run",
    "Baccarat Blue",
    "Deep Sea Spins",
    "Poker Duel",
)
CATEGORIES = ("Slots", "Slots", "Table", "Table", "Crash", "Slots", "Slots", "Table", "Slots")
"""The category of each game in order; the last game has none."""
SPREADSHEET_EPOCH = date(1899, 12, 30)


@dataclass
class Ledger:
    """Generates the rows of every ledger and cost folder. All randomness comes from `seed`.

    `missing_rate` leaves out the rates of one currency for the last ten days. An older rate is used
    for seven days only, so the money of the days after them has no rate. Without `bets_per_day`,
    there are as many bets on each day as players, and at least 40.
    """

    first: date
    days: int
    players: int
    seed: int
    missing_rate: bool = False
    bets_per_day: int | None = None

    def __post_init__(self) -> None:
        # Equal seeds must give equal samples, which a cryptographic generator cannot do.
        self._random = random.Random(f"ledger {self.seed}")  # noqa: S311
        self._booked: dict[date, list[Row]] = {}
        self._bettors = [
            (str(1_000 + number), self._random.choice(("EUR", "USD", "GBP", "SEK")))
            for number in range(max(self.players // 2, 4))
        ]

    def transactions(self) -> Iterator[tuple[date, list[Row]]]:
        """Each day with its rows. Call this first and once, because it draws random numbers."""
        bet = 0
        for day in self._days():
            for _ in range(self.bets_per_day or max(self.players, 40)):
                bet += 1
                self._bet(day, f"b{self.seed}-{bet}")
            # Only results of this day's bets are booked later, on the next day.
            yield day, self._booked.pop(day, [])

    def _days(self, before: int = 0) -> Iterator[date]:
        return (self.first + timedelta(days=day) for day in range(-before, self.days))

    def _bet(self, day: date, bet_id: str) -> None:
        pick = self._random
        player, currency = pick.choice(self._bettors)
        bonus_share = pick.choice((0, 0, 0, 50, 100))
        cents = 0 if pick.random() < 0.01 else pick.choice((20, 50, 100, 200, 500, 1_250))
        bet = {
            "channeluid": pick.choice(("web", "ios", "android")),
            "txcurrency": currency,
            "gameid": str(pick.randint(1, len(GAMES))),
            "betid": bet_id,
            "playerid": player,
        }
        # 1 % are wins without a wager (free rounds). 2 % of the wagers are never settled, and 2 %
        # of the results follow on the next day.
        if pick.random() >= 0.01:
            self._book(day, "WAGER", bet, cents, bonus_share)
            if pick.random() < 0.02:
                return
        won = int(cents * pick.choices((0, 0.5, 1.5, 3, 12), (55, 20, 15, 8, 2))[0])
        settled = day + timedelta(days=1) if pick.random() < 0.02 else day
        self._book(settled, "RESULT", bet, won, bonus_share)

    def _book(self, day: date, kind: str, bet: Row, cents: int, bonus_share: int) -> None:
        if day > self.first + timedelta(days=self.days - 1):
            return
        bonus = cents * bonus_share // 100
        amounts = {"realamount": _money(cents - bonus), "bonusamount": _money(bonus)}
        row = {**amounts, **bet, "txtype": kind}
        self._booked.setdefault(day, []).append(row)

    def rates(self) -> list[Row]:
        """The euro value of one unit by currency and day, from three days before the first day."""
        current = dict(EURO_PER_UNIT)
        gap_from = self.first + timedelta(days=self.days - 10)
        rows: list[Row] = []
        for day in self._days(before=3):
            for currency, rate in current.items():
                if not (self.missing_rate and currency == "SEK" and day >= gap_from):
                    text = f"{rate:.8f}"
                    rows.append({"date": f"{day}", "currency": currency, "baserateeuro": text})
            current = {
                currency: rate * (1 + self._random.uniform(-0.006, 0.006) * (currency != "EUR"))
                for currency, rate in current.items()
            }
        return rows

    def games(self) -> list[Row]:
        return [
            {"id": str(number), "game_name": name, "gameproviderid": str(number % 4 + 1)}
            for number, name in enumerate(GAMES, start=1)
        ]

    def providers(self) -> list[Row]:
        return [
            {"id": str(number), "game_provider_name": name}
            for number, name in enumerate(PROVIDERS, start=1)
        ]

    def categories(self) -> list[Row]:
        return [
            {"game_id": str(number), "game_category": category}
            for number, category in enumerate(CATEGORIES, start=1)
        ]

    def bettors(self) -> list[Row]:
        """One to three rows per ledger player. The newest `latestupdate` marks the current row."""
        pick = self._random
        rows: list[Row] = []
        for number, (player, _) in enumerate(self._bettors):
            born = date(1950, 1, 1) + timedelta(days=pick.randint(0, 20_000))
            day_number = (born - SPREADSHEET_EPOCH).days
            state = {
                "playerid": player,
                "country": pick.choice(("DE", "SE", "GB", "US")),
                "birthdate": str(day_number) if number % 3 == 0 else f"{born}",
                "gender": pick.choice(("F", "M", "X")),
            }
            for version in range(pick.choice((1, 1, 2, 3))):
                moment = self.first + timedelta(days=version * self.days // 3)
                flags = {
                    "playerstate": pick.choice(("active", "active", "active", "suspended")),
                    "vip": pick.choice(("true", "false", "false")),
                    "kyc": "verified" if version else pick.choice(("pending", "verified")),
                    "wantsnewsletter": pick.choice(("true", "false")),
                    "latestupdate": f"{moment} {8 + version:02}:15:00",
                }
                rows.append({**state, **flags})
        return rows

    def spend(self) -> list[Row]:
        """The marketing costs by day, channel and campaign, in two currencies."""
        return [
            {
                "date": f"{day}",
                "acquisition_channel": channel,
                "campaign_id": campaign,
                "currency": "EUR" if channel == "tiktok" else "USD",
                "amount": _money(self._random.randint(500, 500 + self.players * 10)),
            }
            for day in self._days()
            for channel, campaigns in CHANNELS.items()
            for campaign in campaigns
        ]


def _money(cents: int) -> str:
    return str(Decimal(cents).scaleb(-2))
