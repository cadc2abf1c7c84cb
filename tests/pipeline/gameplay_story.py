"""Seeded random events about levels, the tutorial, matches and errors, for the property tests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

DAY = 86_400


class Played(NamedTuple):
    """An event of the story: its second, its type and its data."""

    application: str
    second: int
    kind: str
    data: dict[str, object]


def gameplay_events(rng: random.Random, days: int) -> Iterator[Played]:
    """Events of four players in each of two games.

    Many share a second or lie at midnight. Some outcomes have no start, or one of days before, and
    some events name no player, but a session that names one on another day, or nothing at all.
    """
    for application in ("a", "b"):
        for number in range(4):
            player = f"p{number}"
            yield from _steps(rng, days, application, player)
            yield from _levels(rng, days, application, player)
            yield from _matches(rng, days, application, player)
            yield from _errors(rng, days, application, player)


def _steps(rng: random.Random, days: int, application: str, player: str) -> Iterator[Played]:
    second = rng.randrange(days * DAY // 2)
    for screen in ("registration", 1, 2, 3, 4, 5, "purchase"):
        if rng.random() < 0.2:
            continue
        second += rng.choice((0, 0, 30, 40_000, DAY, -60))
        about = _about(rng, player)
        if screen == "registration":
            yield Played(application, second, "user_registration", about)
        elif screen == "purchase":
            yield Played(application, second, "iap_transaction", about)
        else:
            about |= {"tutorial_screen_id": f"screen_{screen}"}
            for again in range(rng.choice((1, 1, 2))):
                at = second + again * rng.choice((0, 5, DAY))
                yield Played(application, at, "tutorial_progression", about)


def _levels(rng: random.Random, days: int, application: str, player: str) -> Iterator[Played]:
    second = rng.randrange(days * DAY // 2)
    kinds = ("level_started", "level_started", "level_completed", "level_failed")
    for _ in range(rng.randint(6, 14)):
        second += rng.choice((0, 0, 60, 9_000, DAY, -10))
        level = {
            "level_id": rng.choice((1, "1", 2, 3, None)),
            "level_version": rng.choice((1, 1, "2", None)),
        }
        yield Played(application, second, rng.choice(kinds), _about(rng, player) | level)


def _matches(rng: random.Random, days: int, application: str, player: str) -> Iterator[Played]:
    kinds = (
        *("matchmaking_start", "matchmaking_start", "matchmaking_complete"),
        *("matchmaking_complete", "matchmaking_failed", "match_end"),
    )
    for number in range(rng.randint(2, 4)):
        second = rng.randrange(1, days) * DAY - rng.choice((1, 5, 40, 50_000))
        for _ in range(rng.randint(2, 6)):
            kind = rng.choice(kinds)
            data = _about(rng, player) | {
                "match_id": rng.choice((number, number, f"{player}-{number}", None)),
                "match_type": rng.choice(("duel", "team", None)),
                "map_id": rng.choice(("ruins", None)),
            }
            if kind == "matchmaking_failed":
                data |= {rng.choice(("failure_reason", "matching_failed_msg", "x")): "timeout"}
            if kind == "match_end":
                results = ("WIN", "win", "Lose", "LOSS", "quit", "Disconnected", "draw", None)
                data |= {"match_result_type": rng.choice(results)}
            yield Played(application, second, kind, data)
            second += rng.choice((0, 0, 1, 7, 45, 30_000, DAY, 2 * DAY))


def _errors(rng: random.Random, days: int, application: str, player: str) -> Iterator[Played]:
    for _ in range(rng.randint(2, 5)):
        near = rng.choice((0, 1, 600, 40_000))
        second = rng.randrange(1, days) * DAY + rng.choice((near, -near))
        data = _about(rng, player) | {"is_fatal": rng.choice((True, True, "yes", False, "?", None))}
        if rng.random() < 0.2:
            data |= {"user_id": None, "session_id": None}
        yield Played(application, second, "client_error", data)


def _about(rng: random.Random, player: str) -> dict[str, object]:
    """The player, a session of the player that other events may have as well, or both."""
    named = rng.random() < 0.8
    in_session = not named or rng.random() < 0.4
    return {
        "user_id": player if named else None,
        "session_id": f"{player}-s{rng.randrange(2)}" if in_session else None,
    }
