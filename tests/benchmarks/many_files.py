"""The first step of a run on a lake of 730 days with 24 event files a day.

The step lists the lake, checks the event files, parses the ledger's days and registers all of them.
The seconds are those beyond the bare listing: a walk through the folder with the state of each
file, or the pages of `list_objects_v2`. The seconds of the processor are those of this process
without the emulated S3, and include the listing. A first run sends one request per event file. The
emulated S3 is one Python process, so the seconds of these requests alone are measured, too.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.builds import END
from tests.benchmarks.measure import FOLDER, Figure, Result, progress
from tests.benchmarks.on_redshift import Place, place
from tests.support.hand_lake import EVENT_COLUMNS, HandLake, folder
from tests.support.redshift_warehouse import Bucket
from tests.support.warehouse import Warehouse

PART = "files"
DAYS, FILES = 730, 24
EVENTS, BETS = 3, 20
"""The rows of an event file, and of a day of the ledger."""
CONNECTIONS = 10
"""Requests at a time: the emulator's client keeps so many connections open."""
ONE_NEW = "run with one new file"
GOAL_SECONDS = 10.0
GOAL_AGAIN = 0.5
"""The largest part of the first run's seconds that a run with no or with one new file may take."""


def measure() -> Sequence[Figure]:
    """Measure a first run, a run with nothing new and a run with one new file on both engines."""
    root = FOLDER / "files"
    shutil.rmtree(root, ignore_errors=True)
    lake = root / "lake"
    progress(f"{PART}: writing {DAYS * FILES:,} event files")
    _write(lake)
    try:
        with place() as here:
            return [*_on_duckdb(lake, root), *_on_redshift(here, lake)]
    finally:
        shutil.rmtree(root)


def _write(lake: Path) -> None:
    """Write the event files, a ledger file for each day, and one file of each other source."""
    days = [END - timedelta(days=number) for number in range(DAYS)]
    for day in days:
        for number in range(FILES):
            _write_events(lake, day, f"part-{number:02}")
    ledger = HandLake(lake)
    money = {"realamount": "1.00", "bonusamount": "0.00", "channeluid": "web"}
    for day in days:
        ledger.table(
            f"game_transactions/date={day}/bets.csv",
            [
                {
                    **money,
                    "txcurrency": "EUR",
                    "gameid": "1",
                    "txtype": "WAGER",
                    "betid": f"{day}-{number}",
                    "playerid": f"p{number}",
                }
                for number in range(BETS)
            ],
        )
    ledger.table(
        "currency_exchange/rates.csv",
        [{"date": f"{day}", "currency": "EUR", "baserateeuro": "1"} for day in days],
    )
    ledger.table("games/games.csv", [{"id": "1", "game_name": "g", "gameproviderid": "1"}])
    ledger.table("players/players.csv", [{"playerid": f"p{n}"} for n in range(BETS)])


def _write_events(lake: Path, day: date, name: str) -> str:
    """Write an event file; returns its path below the lake."""
    rows = [
        {
            "event_id": f"{day}-{name}-{number}",
            "event_type": "login",
            "event_name": "login",
            "event_timestamp": (day - date(1970, 1, 1)).days * 86_400 + number,
            "application_id": "a",
            "event_data": f'{{"user_id": "p{number}"}}',
        }
        for number in range(EVENTS)
    ]
    path = f"raw_events/{folder(day)}/{name}.parquet"
    (lake / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(EVENT_COLUMNS)), lake / path)
    return path


def _on_duckdb(lake: Path, root: Path) -> Iterator[Figure]:
    warehouse = Warehouse(lake, root)

    def add() -> None:
        _write_events(lake, END, "late")

    yield from _runs("DuckDB", warehouse, lambda: _walked(lake), add)
    (lake / f"raw_events/{folder(END)}/late.parquet").unlink()


def _on_redshift(here: Place, lake: Path) -> Iterator[Figure]:
    warehouse = here.warehouse("files")
    bucket: Bucket = warehouse.bucket
    names = [path.relative_to(lake).as_posix() for path in lake.rglob("*") if path.is_file()]
    names = [name for name in names if not name.startswith("ledger_rows/")]
    progress(f"{PART}: writing {len(names):,} objects into the emulated S3")
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(lambda name: bucket.put(name, (lake / name).read_bytes()), names):
            pass

    def add() -> None:
        name = _write_events(lake, END, "late")
        bucket.put(name, (lake / name).read_bytes())

    yield from _runs("stand-in", warehouse, lambda: _paged(bucket), add)
    seconds = _requested(bucket, [name for name in names if name.startswith("raw_events/")])
    yield Figure(PART, "stand-in: one bare GET per event file", seconds, "s")


def _runs(
    engine: str,
    warehouse: Warehouse,
    listed: Callable[[], int],
    add: Callable[[], None],
) -> Iterator[Figure]:
    """The seconds of three runs beyond the bare listing of the same lake."""
    bare, count = _timed(listed)
    yield Figure(PART, f"{engine}: bare listing of {count:,} files", bare, "s")
    seconds = []
    for name in ("first run", "run with nothing new", ONE_NEW):
        if name == ONE_NEW:
            add()
        bare, _ = _timed(listed)
        used = time.process_time()
        step, days = _timed(warehouse.find)
        used = time.process_time() - used
        warehouse.record()
        seconds.append(max(step - bare, 0.0))
        progress(
            f"{PART}: {engine}, {name}: {step:.1f} s, listing {bare:.1f} s, "
            f"{sum(map(len, days.values())):,} days"
        )
        yield Figure(PART, f"{engine}: {name}, beyond", seconds[-1], "s", GOAL_SECONDS)
        yield Figure(PART, f"{engine}: {name}, processor", used, "s")
    for name, own in zip(("nothing new", "one new file"), seconds[1:], strict=True):
        yield Figure(PART, f"{engine}: {name} over first run", own / seconds[0], "x", GOAL_AGAIN)


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _walked(folder: Path) -> int:
    """Ask for the state of each file below a folder; returns their number."""
    count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            Path(parent, name).stat()
            count += 1
    return count


def _paged(bucket: Bucket) -> int:
    """List the objects of a lake page by page; returns their number."""
    pages = bucket.client.get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=bucket.bucket, Prefix=f"{bucket.prefix}/")
    return sum(len(page.get("Contents", [])) for page in found)


def _requested(bucket: Bucket, names: Sequence[str]) -> float:
    """The seconds of one request per object without this package."""

    def get(name: str) -> int:
        found = bucket.client.get_object(Bucket=bucket.bucket, Key=f"{bucket.prefix}/{name}")
        return len(found["Body"].read())

    began = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        assert all(pool.map(get, names))
    return time.perf_counter() - began
