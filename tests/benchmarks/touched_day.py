"""The seconds of one touched day on 90 days of history, divided by those on 10 days."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from tests.benchmarks.builds import END, Build, Lake, generated, last_days_of
from tests.benchmarks.measure import FOLDER, Figure, median, progress, ratio_of_turns, taking_turns

PART = "day"
LONG, SHORT, PLAYERS = 90, 10, 1_200
TOUCHED = END - timedelta(days=2)
LATE_EVENTS = 50
GOAL_RATIO = 1.2


def measure(rounds: int) -> list[Figure]:
    """Measure both by turns. The short lake is a copy of the last days of the long one, so the
    touched day has the same events in both.
    """
    long = generated(LONG, PLAYERS)
    lakes = {f"{LONG} days": long, f"{SHORT} days": last_days_of(long, SHORT)}
    for name, lake in lakes.items():
        progress(f"{PART}: full build of {name}, {lake.event_count():,} events")
        lake.build_anew()
    builds = taking_turns(rounds, {name: partial(late_build, lake) for name, lake in lakes.items()})
    figures = []
    for what, seconds in {
        "all, as a user waits": {name: [b.total for b in own] for name, own in builds.items()},
        "the models' own seconds": {
            name: [b.dbt.models for b in own] for name, own in builds.items()
        },
        "the data tests' own seconds": {
            name: [b.dbt.tests for b in own] for name, own in builds.items()
        },
    }.items():
        of_long, of_short = seconds.values()
        ratio, ratios = ratio_of_turns(of_long, of_short)
        figures += [
            *(
                Figure(PART, f"{what}, {name}", median(own), "s", samples=own)
                for name, own in seconds.items()
            ),
            Figure(PART, f"{what}, ratio", ratio, "x", GOAL_RATIO, samples=ratios),
        ]
    return figures + what_grows(PART, builds)


def what_grows(part: str, builds: Mapping[str, Sequence[Build]], most: int = 5) -> list[Figure]:
    """The nodes whose seconds grow most with the longer history."""
    long, short = (
        {node: median([b.dbt.by_node[node] for b in own]) for node in own[0].dbt.by_node}
        for own in builds.values()
    )
    grown = sorted(long, key=lambda node: short[node] - long[node])[:most]
    return [
        Figure(part, f"  grows: {node.split('.')[2]}", long[node] - short[node], "s")
        for node in grown
    ]


def late_build(lake: Lake) -> Build:
    """Land one late file and build what it touched."""
    land_late(lake)
    return lake.build()


def land_late(lake: Lake) -> None:
    """Land a file of events of the touched day that no earlier call has landed."""
    now = datetime.now(UTC)
    at = int(datetime(TOUCHED.year, TOUCHED.month, TOUCHED.day, 12, tzinfo=UTC).timestamp())
    events = [
        {
            "event": {
                "event_id": f"late-{now.timestamp()}-{number}",
                "event_type": "login",
                "event_name": "login",
                "event_timestamp": at + number,
                "event_data": {"user_id": f"late-{number}", "platform": "ios"},
            },
            "application_id": "aurora-quest",
        }
        for number in range(LATE_EVENTS)
    ]
    file = FOLDER / "late.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    lake.command("land", str(file))
    file.unlink()
