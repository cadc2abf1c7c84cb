"""Ten million events and five million bets over 730 days: memory, seconds and rows written.

A full build has the memory that DuckDB gets where 4 GiB are free. Then one late file of one day is
built on the 730 days and on the last 30 days of the same lake. The rows are those of the run's own
statements. A smaller pair of lakes is built on the stand-in, where the bytes that Spectrum would
read are measured, too.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from include.lake.sample.sample import Sample
from include.memory import MIB, limit_of
from include.remedies import remedy
from include.settings import UserError
from tests.benchmarks.builds import END, SEED, Build, Lake, generated, kept, last_days_of
from tests.benchmarks.large_lake import write_large_sample
from tests.benchmarks.measure import (
    Failed,
    Figure,
    median,
    progress,
    ratio_of_turns,
    taking_turns,
)
from tests.benchmarks.memory import Memory
from tests.benchmarks.on_redshift import Place, place
from tests.benchmarks.rows_written import (
    counted_on_duckdb,
    counts_on_standin,
    of_models,
    of_partitions,
    written_between,
)
from tests.benchmarks.touched_day import land_late, late_build, what_grows
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

PART = "scale"
DAYS, PLAYERS, BETS_PER_DAY = 730, 5_500, 6_900
"""These players send more than ten million events in so many days."""
SHORT = 30
SMALL_PLAYERS, STANDIN_DAYS = 60, 180
"""The lake of the stand-in. PostgreSQL plans a copy of a model's expressions for each partition:
for 730 days it needed more than 22 GB.
"""
GOAL_MB = 4_000
LIMIT = f"{limit_of(4096 * MIB) // MIB}MiB"
TOO_LITTLE = "64MiB"
"""A limit with which the events cannot be built."""
TOO_LITTLE_MESSAGE = "DuckDB needs more than its memory limit"
GOAL_RATIO = 1.10
MOST = 5
"""How many tables are named whose rows grow most with the history."""
Line = Figure | Failed


def measure(rounds: int) -> Sequence[Line]:
    """Measure the large lake on DuckDB, and a small one on the stand-in."""
    long = kept(f"{DAYS}x{PLAYERS}x{BETS_PER_DAY}", _write)
    return [*_on_duckdb(long, rounds), *_on_standin()]


def _write(lake: Lake) -> None:
    progress(f"{PART}: generating {DAYS} days, {PLAYERS:,} players, {BETS_PER_DAY:,} bets a day")
    write_large_sample(lake.lake, Sample(DAYS, PLAYERS, SEED, END, bets_per_day=BETS_PER_DAY))


def _on_duckdb(long: Lake, rounds: int) -> Iterator[Line]:
    limited = {"GAME_ANALYTICS_DUCKDB_MEMORY": LIMIT}
    lakes = {
        f"{DAYS} days": replace(long, variables=limited),
        f"{SHORT} days": replace(last_days_of(long, SHORT), variables=limited),
    }
    for name, lake in lakes.items():
        events = lake.event_count()
        progress(f"{PART}: full build of {name}, {events:,} events")
        began = time.monotonic()
        with Memory() as memory:
            build = lake.build_anew()
        seconds = time.monotonic() - began
        progress(f"{PART}: {seconds:.0f} s, {memory.peak:,.0f} MB")
        yield Figure(PART, f"full build of {name}: million events", events / 1e6, "")
        yield Figure(PART, f"full build of {name}", seconds, "s")
        yield Figure(PART, f"full build of {name}, processor", build.processor, "s")
        yield Figure(PART, f"full build of {name}: peak", memory.peak, "MB", GOAL_MB)
    yield from _with_too_little(long)
    builds = taking_turns(rounds, {name: partial(late_build, lake) for name, lake in lakes.items()})
    yield from _seconds(builds)
    rows = {name: _rows_of_late_build(lake) for name, lake in lakes.items()}
    yield from _rows("DuckDB", rows)


def _with_too_little(lake: Lake) -> Iterator[Line]:
    """Check that a build with too little memory ends with an error that has a remedy."""
    small = replace(lake, variables={"GAME_ANALYTICS_DUCKDB_MEMORY": TOO_LITTLE})
    warehouse = lake.warehouse.rename(lake.warehouse.with_name("kept.duckdb"))
    try:
        small.build_anew()
    except UserError:
        results = json.loads((lake.checkout.target / "run_results.json").read_bytes())["results"]
        found = [remedy(entry["message"] or "") for entry in results if entry["status"] == "error"]
        if not any((text or "").startswith(TOO_LITTLE_MESSAGE) for text in found):
            yield Failed(
                PART, f"no error of a build with {TOO_LITTLE} begins with `{TOO_LITTLE_MESSAGE}`"
            )
    else:
        yield Failed(PART, f"a build with {TOO_LITTLE} did not fail")
    finally:
        warehouse.rename(lake.warehouse)


def _seconds(builds: Mapping[str, Sequence[Build]]) -> Iterator[Figure]:
    """The seconds of one touched day on both histories."""
    for what, seconds in {
        "touched day, as a user waits": {
            name: [build.total for build in own] for name, own in builds.items()
        },
        "touched day, processor": {
            name: [build.processor for build in own] for name, own in builds.items()
        },
        "touched day, models and tests": {
            name: [build.dbt.models + build.dbt.tests for build in own]
            for name, own in builds.items()
        },
    }.items():
        ratio, ratios = ratio_of_turns(*seconds.values())
        for name, own in seconds.items():
            yield Figure(PART, f"{what}, {name}", median(own), "s", samples=own)
        yield Figure(PART, f"{what}, ratio", ratio, "x", GOAL_RATIO, samples=ratios)
    yield from what_grows(PART, builds)


def _rows_of_late_build(lake: Lake) -> Counter[str]:
    """The rows that a build of one late file writes, by table. dbt runs in this process."""
    land_late(lake)
    warehouse = Warehouse(lake.lake, lake.folder)
    warehouse.find()
    with counted_on_duckdb() as rows:
        failed = warehouse.dbt(*WITHOUT_TESTS)
    if failed:
        raise UserError(f"`dbt build` did not build all: {', '.join(failed)}.")
    warehouse.record()
    return rows


def _rows(engine: str, rows: Mapping[str, Counter[str]]) -> Iterator[Figure]:
    """The rows of one touched day on both histories, and the tables whose rows grow most.

    Each run lists its partitions anew, one row for each, so these rows grow with the history. They
    are shown apart and are not in the ratio.
    """
    for name, own in rows.items():
        yield Figure(PART, f"{engine}: rows written, {name}", of_models(own), "")
        if listed := of_partitions(own):
            yield Figure(PART, f"{engine}: rows of lists of partitions, {name}", listed, "")
    long, short = rows.values()
    ratio = of_models(long) / of_models(short)
    yield Figure(PART, f"{engine}: rows written, ratio", ratio, "x", GOAL_RATIO)
    for table in sorted(long, key=lambda table: short[table] - long[table])[:MOST]:
        if long[table] > short[table]:
            yield Figure(PART, f"  more rows: {table}", long[table] - short[table], "")


def _on_standin() -> Iterator[Figure]:
    """Build a late file of the small lakes on the stand-in; count rows and bytes scanned."""
    long = generated(STANDIN_DAYS, SMALL_PLAYERS)
    lakes = {f"{STANDIN_DAYS} days": long, f"{SHORT} days": last_days_of(long, SHORT)}
    rows: dict[str, Counter[str]] = {}
    scanned: dict[str, int] = {}
    with place() as here:
        for name, lake in lakes.items():
            rows[name], scanned[name] = _late_build_on_standin(here, name, lake)
            progress(f"{PART}: stand-in, {name}: {scanned[name]:,} bytes scanned")
    yield from _rows("stand-in", rows)
    for name, count in scanned.items():
        yield Figure(PART, f"stand-in: bytes scanned, {name}", count, "B")
    ratio = scanned[f"{STANDIN_DAYS} days"] / scanned[f"{SHORT} days"]
    yield Figure(PART, "stand-in: bytes scanned, ratio", ratio, "x", GOAL_RATIO)


def _late_build_on_standin(here: Place, name: str, lake: Lake) -> tuple[Counter[str], int]:
    """The rows that a build of one late file writes, and the bytes that it scans."""
    prefix = f"scale{name.split(maxsplit=1)[0]}"
    own = Lake(here.folder / prefix)
    shutil.copytree(lake.lake, own.lake, ignore=shutil.ignore_patterns("ledger_rows"))
    warehouse = here.warehouse(prefix)
    warehouse.bucket.mirror(own.lake)
    progress(f"{PART}: stand-in, full build of {name}")
    warehouse.build(*WITHOUT_TESTS)
    land_late(own)
    warehouse.bucket.mirror(own.lake)
    before = counts_on_standin(here.cluster, f"{prefix}_")
    number = len(here.cluster.scans())
    warehouse.build(*WITHOUT_TESTS)
    scanned = sum(scan.bytes for scan in here.cluster.scans()[number:])
    after = counts_on_standin(here.cluster, f"{prefix}_")
    return written_between(before, after), scanned
