"""Plain `dbt build` of the marts of the hand-written script, compared with the script."""

from __future__ import annotations

from tests.benchmarks.builds import Build, Lake, generated
from tests.benchmarks.by_hand import MARTS, differences
from tests.benchmarks.measure import Failed, Figure, median, progress, ratio_of_turns, taking_turns

PART = "build"
LARGE = "large"
SAMPLE_LAKE = (30, 400)
LARGE_LAKE = (60, 6_000)
GOAL_RATIO = 1.5
SLOWEST = 6


def measure(rounds: int) -> list[Figure | Failed]:
    """Measure on a lake as large as the sample of `make run`."""
    return _measure(PART, generated(*SAMPLE_LAKE), rounds)


def measure_large(rounds: int) -> list[Figure | Failed]:
    """Measure on about three million events, where SQL takes most of the time."""
    return _measure(LARGE, generated(*LARGE_LAKE), min(rounds, 2))


def _measure(part: str, lake: Lake, rounds: int) -> list[Figure | Failed]:
    """Measure both by turns. Different rows are a failure: then the seconds mean nothing."""
    progress(f"{part}: {lake.event_count():,} events")
    builds: list[Build] = []

    def by_dbt() -> float:
        builds.append(lake.build_anew(*(f"+{mart}" for mart in MARTS)))
        return builds[-1].total

    seconds = taking_turns(rounds, {"by dbt": by_dbt, "by hand": lake.build_by_hand})
    unequal = differences(lake.warehouse, lake.by_hand)
    hand = seconds["by hand"]
    ratio, ratios = ratio_of_turns(seconds["by dbt"], hand)
    dbt = [build.dbt for build in builds]
    dbt_ratio, dbt_ratios = ratio_of_turns([times.total for times in dbt], hand)
    lines = {
        "by hand, start to end": hand,
        "partitions + dbt build + record": seconds["by dbt"],
        "  partitions": [build.partitions for build in builds],
        "  dbt build": [times.total for times in dbt],
        "    start, load of the parsed project, end": [times.start for times in dbt],
        "    nodes, on two threads": [times.nodes for times in dbt],
        "      models, seeds, snapshot (sum)": [times.models for times in dbt],
        "      data tests (sum)": [times.tests for times in dbt],
        "  record": [build.record for build in builds],
    }
    slowest = sorted(dbt[-1].by_node.items(), key=lambda entry: -entry[1])[:SLOWEST]
    return [
        *(Figure(part, name, median(own), "s", samples=own) for name, own in lines.items()),
        *(
            Figure(part, f"    slowest: {node.split('.')[2]}", own, "s", samples=[own])
            for node, own in slowest
        ),
        Figure(part, "dbt build / by hand", dbt_ratio, "x", GOAL_RATIO, samples=dbt_ratios),
        Figure(part, "all three steps / by hand", ratio, "x", GOAL_RATIO, samples=ratios),
        *(Failed(part, f"not the same rows by dbt and by hand: {line}") for line in unequal),
    ]
