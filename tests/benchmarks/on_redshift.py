"""The target `redshift` on the stand-in: seconds beside DuckDB's, partitions, bytes scanned.

The stand-in is PostgreSQL on one machine, so its seconds show the cost of this package's steps and
not the speed of Redshift. The bytes are the sizes of the Parquet files that a query may read after
pruning.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.external_tables.redshift import create_external_tables
from include.lake.listing import list_lake
from include.lake.sources import sources
from include.lake.storage.s3 import S3Lake
from include.manifest import Manifest
from tests.benchmarks.builds import END, generated
from tests.benchmarks.measure import Figure, median, progress, ratio_of_turns, taking_turns
from tests.redshift_standin import Cluster
from tests.support.hand_lake import EVENT_COLUMNS, HandLake
from tests.support.ministack import MiniStack
from tests.support.redshift_warehouse import Bucket, RedshiftWarehouse
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

PART = "redshift"
DAYS, PLAYERS = 10, 1_200
SHORT, LONG = 10, 400
PARTITIONS = 3_650
GOAL_SCANNED = 1.05


@dataclass(frozen=True)
class Place:
    """A stand-in, an emulated S3 and the folder of this measurement."""

    cluster: Cluster
    s3: MiniStack
    folder: Path

    def bucket(self, name: str) -> Bucket:
        """Make a new bucket."""
        client = self.s3.client("s3")
        client.create_bucket(Bucket=name)
        return Bucket(client, name, "lake")

    def warehouse(self, name: str) -> RedshiftWarehouse:
        """A warehouse in schemas with the prefix `name`, for the administrator."""
        login = {**self.s3.environment(), **self.cluster.environment()}
        prefix = f"{name}_"
        return RedshiftWarehouse(self.bucket(f"bench-{name}"), login, schema_prefix=prefix)


@contextmanager
def place() -> Iterator[Place]:
    """Start the stand-in and S3, and stop them at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # The system user `postgres` must be able to enter the folder.
        folder.chmod(0o755)
        s3 = stack.enter_context(MiniStack.start(folder / "ministack"))
        cluster = stack.enter_context(Cluster.start(folder / "cluster", s3_endpoint=s3.endpoint))
        yield Place(cluster, s3, folder)


def measure(rounds: int) -> Sequence[Figure]:
    """Measure builds, partitions and scans on one stand-in."""
    with place() as here:
        return [*_builds(here, rounds), *_partitions(here), *_scanned(here)]


def _builds(here: Place, rounds: int) -> list[Figure]:
    """Time a full build on both engines by turns, in this process, so without the start of dbt."""
    lake = here.folder / "lake"
    shutil.copytree(generated(DAYS, PLAYERS).lake, lake)
    on_duckdb = Warehouse(lake, here.folder)
    on_redshift = here.warehouse("builds")
    on_redshift.bucket.mirror(lake)
    for warehouse in (on_duckdb, on_redshift):
        warehouse.build(*WITHOUT_TESTS)

    def built(warehouse: Warehouse) -> float:
        began = time.perf_counter()
        assert not warehouse.dbt("--full-refresh", "--exclude-resource-type", "unit_test")
        return time.perf_counter() - began

    turns = taking_turns(
        rounds,
        {"DuckDB": lambda: built(on_duckdb), "stand-in": lambda: built(on_redshift)},
    )
    ratio, ratios = ratio_of_turns(turns["stand-in"], turns["DuckDB"])
    return [
        *(
            Figure(PART, f"dbt build of {DAYS} days, {name}", median(seconds), "s", samples=seconds)
            for name, seconds in turns.items()
        ),
        Figure(PART, "dbt build, stand-in over DuckDB", ratio, "x", samples=ratios),
    ]


def _partitions(here: Place) -> list[Figure]:
    """Time the registration of ten years of days at once."""
    lake = here.folder / "years"
    empty = lake / "one.parquet"
    lake.mkdir()
    pq.write_table(
        pa.table({name: pa.array([], kind) for name, kind in EVENT_COLUMNS.items()}), empty
    )
    bucket = here.bucket("bench-years")
    content = empty.read_bytes()
    for number in range(PARTITIONS):
        day = END - timedelta(days=number)
        bucket.put(f"raw_events/year={day:%Y}/month={day:%m}/day={day:%d}/a.parquet", content)
    warehouse = RedshiftWarehouse(
        bucket, {**here.s3.environment(), **here.cluster.environment()}, schema_prefix="years_"
    )
    declared = sources(Manifest.read())
    with warehouse.opened() as database:
        began = time.perf_counter()
        lake_in_s3 = S3Lake(bucket.uri)
        listing = list_lake(lake_in_s3, declared, None)
        listed = time.perf_counter()
        create_external_tables(database, warehouse.settings, lake_in_s3, declared, listing)
        registered = time.perf_counter()
    progress(f"{PART}: {PARTITIONS:,} partitions registered in {registered - listed:.1f} s")
    return [
        Figure(
            PART,
            f"partitions listed per second ({PARTITIONS:,})",
            PARTITIONS / (listed - began),
            "/s",
        ),
        Figure(PART, "partitions registered per second", PARTITIONS / (registered - listed), "/s"),
    ]


def _scanned(here: Place) -> list[Figure]:
    """Compare the bytes that a run scans for a late day on a long and on a short history."""
    scanned = {}
    for days in (SHORT, LONG):
        root = here.folder / f"history{days}"
        lake = HandLake(root)
        for number in range(days):
            for player in range(20):
                lake.event(_at(END - timedelta(days=number), player), user_id=f"p{player}")
        lake.write()
        warehouse = here.warehouse(f"history{days}")
        warehouse.bucket.mirror(root)
        warehouse.build(*WITHOUT_TESTS)
        lake.event(_at(END - timedelta(days=4), 30), user_id="late")
        lake.write()
        warehouse.bucket.mirror(root)
        before = len(here.cluster.scans())
        warehouse.build(*WITHOUT_TESTS)
        scanned[days] = sum(scan.bytes for scan in here.cluster.scans()[before:])
        progress(f"{PART}: one day of {days} scans {scanned[days]:,} bytes")
    return [
        *(
            Figure(PART, f"bytes scanned for one late day, {days} days", count, "B")
            for days, count in scanned.items()
        ),
        Figure(
            PART,
            "bytes scanned, long over short history",
            scanned[LONG] / scanned[SHORT],
            "x",
            GOAL_SCANNED,
        ),
    ]


def _at(day: date, second: int) -> str:
    return f"{day}T10:00:{second:02}"
