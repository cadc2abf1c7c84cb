"""The peak memory of generating, landing and building 1, 5 and 10 million events.

One lake with the most events is generated. A build gets as many of its last days as have so many
events. DuckDB has the
limit that it gets where 2 GiB are free. `ARGS="memory --events 1 5"` measures only these sizes, in
millions, because the largest one takes half an hour.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace

from include.memory import MIB, limit_of
from tests.benchmarks.builds import Lake, generated, last_days_of
from tests.benchmarks.landing import GENERATED_LINES, write_lines
from tests.benchmarks.measure import FOLDER, Figure, progress
from tests.benchmarks.memory import Memory

PART = "memory"
MILLIONS = (1, 5, 10)
PLAYERS = 15_000
DAYS_PER_MILLION = 12
"""A lake of these players has at least a million events in so many days."""
GOAL_MB = 2_000
LIMIT = f"{limit_of(2048 * MIB) // MIB}MiB"


def measure(millions: Sequence[int] = MILLIONS) -> list[Figure]:
    """Measure generating the largest lake, and landing and building by size."""
    with Memory() as memory:
        whole = generated(DAYS_PER_MILLION * max(millions), PLAYERS)
    figures = []
    # A lake of an earlier run is used again. Then no process was started.
    if memory.processes:
        figures.append(_peak("generate", max(millions), memory))
    for size in sorted(millions):
        figures += [_landed(size), *_built(size, whole)]
    return figures


def _landed(size: int) -> Figure:
    """Land one file of so many million events."""
    some, file = write_lines(), FOLDER / "memory.jsonl.gz"
    content = some.read_bytes()
    with file.open("wb") as whole:
        # Files of gzip that follow each other are one file of gzip.
        for _ in range(size * 1_000_000 // GENERATED_LINES):
            whole.write(content)
    lake = Lake(FOLDER / "memory")
    with Memory() as memory:
        lake.command("land", str(file))
    shutil.rmtree(lake.folder)
    file.unlink()
    return _peak("land", size, memory)


def _built(size: int, whole: Lake) -> list[Figure]:
    """Build the last days of the lake that hold so many million events."""
    lake = last_days_of(whole, _days_with(whole, size * 1_000_000))
    lake = replace(lake, variables={"GAME_ANALYTICS_DUCKDB_MEMORY": LIMIT})
    progress(f"{PART}: building {lake.event_count():,} events")
    began = time.monotonic()
    with Memory() as memory:
        lake.build_anew()
    seconds = time.monotonic() - began
    progress(f"{PART}: {seconds:.0f} s, {memory.peak:,.0f} MB")
    shutil.rmtree(lake.folder)
    return [
        _peak("build", size, memory),
        Figure(PART, f"build, {size} million events, seconds", seconds, "s"),
    ]


def _days_with(lake: Lake, events: int) -> int:
    """The smallest number of last days that hold so many events together; else all days."""
    counts = lake.events_by_day()
    totals = list(itertools.accumulate(counts))
    return next((days for days, total in enumerate(totals, 1) if total >= events), len(counts))


def _peak(what: str, size: int, memory: Memory) -> Figure:
    return Figure(PART, f"{what}, {size} million events", memory.peak, "MB", GOAL_MB)
