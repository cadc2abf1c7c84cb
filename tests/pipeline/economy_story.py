"""Seeded random events about currencies, ratings, reports and latency, for the property tests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

DAY = 86_400


class Told(NamedTuple):
    """An event of the story: its second, its type and its data."""

    application: str
    second: int
    kind: str
    data: dict[str, object]


def economy_events(rng: random.Random, days: int) -> Iterator[Told]:
    """Events of four players in each of two games.

    Balances mostly follow the amounts. Some are missing or wrong, some flows share a second, and
    some events name no player, but a session that names one on another day.
    """
    for application in ("a", "b"):
        for number in range(4):
            yield from _flows(rng, days, application, f"p{number}")
            yield from _feedback(rng, days, application, f"p{number}")


def _flows(rng: random.Random, days: int, application: str, player: str) -> Iterator[Told]:
    balance, second = 0, rng.randrange(days * DAY // 2)
    for _ in range(rng.randint(4, 12)):
        second += rng.choice((0, 1, 600, 40_000, DAY))
        if second >= days * DAY:
            return
        amount = rng.choice((0, 1, 5, "2", -3, None))
        direction = rng.choice(("source", "source", "Sink", "SINK", "gift", None))
        if isinstance(amount, int) and amount >= 0 and direction in {"source", "Sink", "SINK"}:
            balance += amount if direction == "source" else -amount
        named = rng.choice((balance, balance, balance, str(balance), None, balance + 1))
        data = _about(rng, player) | {
            "currency": rng.choice(("gold", "gold", "gold", None)),
            "direction": direction,
            "amount": amount,
            "reason": rng.choice(("reward", "shop", None)),
            "balance": named,
        }
        yield Told(application, second, "currency_flow", data)


def _feedback(rng: random.Random, days: int, application: str, player: str) -> Iterator[Told]:
    for kind, key, values in (
        ("user_sentiment", "user_rating", (1, 3, 5, "4", 4.5, 0, None)),
        ("user_report", "report_reason", ("GRIEF", "CHEAT", None)),
        ("client_latency", "latency", (0, 15, 40, "41.5", 300, -1, "fast", None)),
    ):
        for _ in range(rng.randint(1, 5)):
            data = _about(rng, player) | {key: rng.choice(values)}
            yield Told(application, rng.randrange(days * DAY), kind, data)


def _about(rng: random.Random, player: str) -> dict[str, object]:
    """The player or a session of the player, and sometimes a platform and a country."""
    named = rng.random() < 0.8
    return {
        "user_id": player if named else None,
        "session_id": None if named else f"{player}-s0",
        "platform": rng.choice(("ios", "tv", None, None)),
        "country_id": rng.choice(("SE", None, None)),
    }
