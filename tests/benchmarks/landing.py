"""The speed of landing and of the bare JSON parser on one file, each on one core.

`python -m tests.benchmarks.landing parse|land FILE LAKE` runs one of them once. It prints lines per
second and per processor second, without the start of the process.
"""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec

from include.lake.landing.landing import land_files
from include.lake.sample.sample import Sample, event_batches
from tests.benchmarks.measure import (
    FOLDER,
    LOG,
    Figure,
    median,
    progress,
    ratio_of_turns,
    seconds_of,
    taking_turns,
)
from tests.support.reference_data import REFERENCE_DATA

PART = "landing"
WORKSHOP = REFERENCE_DATA / "ggap_workshop.jsonl.gz"
GENERATED_LINES = 200_000
GOAL_EVENTS_PER_SECOND = 200_000.0


def measure(rounds: int) -> list[Figure]:
    """Measure both speeds by turns, and their ratio."""
    file = WORKSHOP if WORKSHOP.exists() else write_lines()
    progress(f"landing: {file.name}")
    lake = FOLDER / "landing"

    def run(what: str) -> tuple[float, float]:
        shutil.rmtree(lake, ignore_errors=True)
        command = [sys.executable, "-m", "tests.benchmarks.landing", what, str(file), str(lake)]
        seconds_of(command, {})
        wall, processor = LOG.read_text().split()[-2:]
        return float(wall), float(processor)

    speeds = taking_turns(
        rounds, {"raw JSON parser": lambda: run("parse"), "landing": lambda: run("land")}
    )
    shutil.rmtree(lake, ignore_errors=True)
    raw, raw_processor = zip(*speeds["raw JSON parser"], strict=True)
    landed, landed_processor = zip(*speeds["landing"], strict=True)
    share, shares = ratio_of_turns(landed_processor, raw_processor)
    return [
        Figure(PART, "raw JSON parser", median(raw), "lines/s", samples=raw),
        _speed("landing", landed),
        Figure(
            PART,
            "raw JSON parser, per processor second",
            median(raw_processor),
            "lines/s",
            samples=raw_processor,
        ),
        # On one core, speed per second and per processor second differ by the time that other
        # processes took and by the time that the disk took.
        _speed("landing, per processor second", landed_processor),
        Figure(PART, "landing / raw JSON parser", share, "x", samples=shares),
    ]


def _speed(name: str, speeds: Sequence[float]) -> Figure:
    goal = GOAL_EVENTS_PER_SECOND
    return Figure(PART, name, median(speeds), "lines/s", goal, at_most=False, samples=speeds)


def write_lines() -> Path:
    """Write 200,000 generated lines into a compressed file."""
    path = FOLDER / "generated.jsonl.gz"
    lines = itertools.chain.from_iterable(
        content.splitlines(keepends=True)
        for _, _, content in event_batches(Sample(40, 450, 7, date(2026, 9, 30)))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.writelines(itertools.islice(lines, GENERATED_LINES))
    return path


def _parse(file: Path) -> int:
    """Decode every line and drop it, which is the fastest way to read this file in Python."""
    decode = msgspec.json.Decoder().decode
    count = 0
    with gzip.open(file, "rb") as lines:
        for line in lines:
            try:
                decode(line)
            except msgspec.DecodeError:
                continue
            finally:
                count += 1
    return count


def _land(file: Path, lake: Path) -> int:
    return sum(landing.lines for landing in land_files(lake, (str(file),), None))


def main(what: str, file: Path, lake: Path) -> None:
    """Run once on one core and print both speeds."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    began, processor_began = time.perf_counter(), time.process_time()
    lines = _parse(file) if what == "parse" else _land(file, lake)
    print(lines / (time.perf_counter() - began), lines / (time.process_time() - processor_began))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
