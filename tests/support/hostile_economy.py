"""Hostile currency flows, ratings, reports and latencies: names, amounts and ties in time."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.hand_lake import HandLake

DIRECTIONS = ("source", "SINK", " Sink ", "so\u0131rce", "sources", "", None, 1, "Source", "sink")


def write_hostile_economy(lake: HandLake, names: Sequence[str], amounts: Sequence[str]) -> None:
    """Add rows of four days around the end of a year to application `h`."""
    about = {"application_id": "h"}
    # Longer names are quarantined, whatever the event is about.
    names = [name for name in names if len(name.encode()) <= 1020]
    for number, amount in enumerate(amounts):
        for place, direction in enumerate(DIRECTIONS):
            # Each currency has a source, so that no ratio is larger than a double holds exactly.
            lake.event(
                f"2025-12-31T1{place}:{number:02}:0{number % 2}",
                "currency_flow",
                user_id=("payer", "midnight", None)[(number + place) % 3],
                currency=names[number % len(names)],
                direction=direction,
                amount=amount if place else 1_000_000_000,
                reason=names[-1 - place],
                balance=amounts[-1 - number],
                **about,
            )
        player = names[number % len(names)]
        lake.event(
            f"2026-01-01T13:{number:02}:00", "client_latency", user_id=player, latency=amount,
            platform=None if number % 3 else player, **about,
        )  # fmt: skip
        lake.event(
            f"2026-01-01T14:{number:02}:00", "user_sentiment", user_id="payer", user_rating=amount,
            **about,
        )  # fmt: skip
    for number, name in enumerate(names):
        lake.event(
            f"2026-01-02T15:{number:02}:00", "user_report", user_id=name, report_reason=name,
            **about,
        )  # fmt: skip
    for rating in (1, 2, 3.0, "4", " 5 ", "5,0", 4.5, True, [1], {"a": 1}, None, "five"):
        lake.event("2026-01-02T16:00:00", "user_sentiment", user_rating=rating, **about)
    _write_balances(lake)


def _write_balances(lake: HandLake) -> None:
    """Add flows of two seconds with equal times, over midnight, and 30 and 31 days apart."""
    for at, amount, balance in (
        ("2025-11-30T10:00:00", 5, 5),
        ("2025-12-01T10:00:00", 5, 10),
        ("2025-12-31T23:59:59", 1, 11),
        ("2026-01-01T00:00:00", 1, 12),
        ("2026-01-01T00:00:00", 1, 13),
        ("2026-01-01T00:00:01", 1, 14),
        ("2026-01-01T00:00:02", 1, 15.5),
        ("2026-01-02T00:00:02", 1, "16.5"),
    ):
        lake.event(
            at, "currency_flow", application_id="economy", user_id="p", currency="gold",
            direction="source", amount=amount, balance=balance,
        )  # fmt: skip
    for at, balance in (("2025-12-01T10:00:00", 1), ("2025-12-31T10:00:00", 2)):
        lake.event(
            at, "currency_flow", application_id="economy", user_id="q", currency=7,
            direction="source", amount=1, balance=balance,
        )  # fmt: skip
