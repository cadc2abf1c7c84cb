"""`make bench` measures the cost of this package and of the same work without it.

| part    | file              | measures |
|---------|-------------------|----------|
| landing | `landing.py`      | events landed per second, beside the raw JSON parser's lines |
| build   | `against_hand.py` | plain `dbt build` against `by_hand.sql`, on the sample |
| large   | `against_hand.py` | plain `dbt build` against `by_hand.sql`, on three million events |
| memory  | `peak_memory.py`  | peak memory of 1, 5, 10 million events: generated, landed, built |
| day     | `touched_day.py`  | one touched day on 90 days of history over one on 10 days |
| files   | `many_files.py`   | the first step of a run on 17,520 event files, on both engines |
| scale   | `scale.py`        | 10 million events, 5 million bets: memory, touched day, rows |
| before  | `before.py`       | an earlier commit: full build, touched day, bytes scanned |
| redshift | `on_redshift.py` | on the stand-in: build beside DuckDB, partitions, bytes scanned |
| fargate | `fargate.py`      | the dbt image: its size, its start, its command over `dbt build` |
| lineage | `lineage.py`      | column lineage of 1,000 models, beside dbt-colibri and dbt docs |
| site    | `site_pages.py`   | catalog and lineage pages of 1,000 models: cost, size, speed |
| dag     | `dag_run.py`      | the DAG, by our modes and Cosmos's, over plain `dbt build` |
| dag200  | `dag_run.py`      | the same modes on a generated project of 200 models |
| dag1000 | `dag_run.py`      | our mode on a generated project of 1,000 models |

Runs that are compared take turns, and the figures are medians, so a busy machine slows both alike.
`by_hand.sql` makes all marts in one hand-written script. If the rows of a build differ from those
of the script, the benchmark fails. No test checks seconds.

`make bench ARGS="landing day"` measures only these parts, `ARGS="--rounds 5"` takes more turns, and
`ARGS="memory --events 1 5"` measures the memory of these millions of events only.
The figures are also written to `data/benchmarks/<UTC time>.json`. The generated lakes stay there
for the next run, and `rm -r data/benchmarks` is safe.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import duckdb

from include.settings import UserError
from tests.benchmarks import (
    against_hand,
    before,
    builds,
    dag_run,
    fargate,
    landing,
    lineage,
    many_files,
    on_redshift,
    peak_memory,
    scale,
    site_pages,
    touched_day,
)
from tests.benchmarks.measure import FOLDER, Failed, Figure, Noted, Skipped, progress

Line = Figure | Noted | Skipped | Failed

PARTS: dict[str, Callable[[int], Sequence[Line]]] = {
    landing.PART: landing.measure,
    against_hand.PART: against_hand.measure,
    against_hand.LARGE: against_hand.measure_large,
    peak_memory.PART: lambda _: peak_memory.measure(),
    touched_day.PART: touched_day.measure,
    many_files.PART: lambda _: many_files.measure(),
    scale.PART: scale.measure,
    before.PART: before.measure,
    on_redshift.PART: on_redshift.measure,
    fargate.PART: fargate.measure,
    lineage.PART: lineage.measure,
    site_pages.PART: site_pages.measure,
    dag_run.PART: dag_run.measure,
    dag_run.LARGE: dag_run.measure_large,
    dag_run.HUGE: lambda _: dag_run.measure_huge(),
}


def shown(results: Sequence[Line]) -> str:
    """Format the results as a table for the terminal."""
    lines = [f"\n{'part':<8} {'':<55} {'median':>12}      {'goal':>12}   {'':<14} range"]
    part = ""
    for result in results:
        if result.part != part:
            part = result.part
            lines.append("-" * 127)
        if not isinstance(result, Figure):
            lines.append(f"{result.part:<8} {type(result).__name__.lower()}: {result.reason}")
            continue
        goal = ""
        if result.goal is not None:
            goal = f"{'<=' if result.at_most else '>='} {_number(result.goal)}"
        spread = ""
        if len(result.samples) > 1:
            spread = f"{_number(min(result.samples))} to {_number(max(result.samples))}"
        lines.append(
            f"{result.part:<8} {result.name:<55} {_number(result.value):>12} {result.unit:<8}"
            f"{goal:>9}   {result.verdict:<14} {spread}".rstrip()
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"


def save(results: Sequence[Line], seconds: float) -> str:
    """Write the figures and the machine's data as JSON; returns the name of the file."""
    now = datetime.now(UTC)
    path = FOLDER / f"{now:%Y-%m-%dT%H-%M-%SZ}.json"
    content = {
        "at": now.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "python": platform.python_version(),
            "duckdb": duckdb.__version__,
        },
        "figures": [
            asdict(result) | {"verdict": result.verdict}
            for result in results
            if isinstance(result, Figure)
        ],
        "noted": [asdict(result) for result in results if isinstance(result, Noted)],
        "skipped": [asdict(result) for result in results if isinstance(result, Skipped)],
        "failed": [asdict(result) for result in results if isinstance(result, Failed)],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    return str(path)


def main() -> int:
    """Measure the parts. After an error, the figures so far are printed with the error."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each comparison")
    parser.add_argument(
        "--events",
        type=int,
        nargs="+",
        default=peak_memory.MILLIONS,
        metavar="MILLIONS",
        help="the lakes of part memory, in millions of events; 1 5 10 by default",
    )
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if given.rounds < 1:
        parser.error("--rounds: at least one")
    if min(given.events) < 1:
        parser.error("--events: at least one million")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            parser.error("another benchmark runs in this checkout: wait until it ends")
        measures = {**PARTS, peak_memory.PART: lambda _: peak_memory.measure(given.events)}
        return _measure(measures, given.parts, given.rounds)


def _measure(
    measures: Mapping[str, Callable[[int], Sequence[Line]]], parts: Sequence[str], rounds: int
) -> int:
    began = time.monotonic()
    results: list[Line] = []
    chosen = [name for name in PARTS if name in (parts or PARTS)]
    try:
        if set(chosen) - {landing.PART, lineage.PART}:
            builds.prepare()
        for name in chosen:
            try:
                results += measures[name](rounds)
            except UserError as error:
                results.append(Failed(name, str(error)))
    except KeyboardInterrupt:
        results.append(Failed("all", "stopped"))
    except UserError as error:
        results.append(Failed("all", str(error)))
    print(shown(results))
    progress(f"written to {save(results, time.monotonic() - began)}")
    return 1 if any(isinstance(result, Failed) for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
