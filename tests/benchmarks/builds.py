"""The lakes, the warehouses and the builds whose seconds the benchmarks compare."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

from include.settings import ROOT, UserError
from tests.benchmarks import large_lake
from tests.benchmarks.measure import FOLDER, processor_seconds, progress, seconds_of

SEED = 7
END = date(2026, 9, 30)
"""The last day of every generated lake. It is fixed, so a lake can be kept for the next run."""

CURRENT = FOLDER / "current"
"""A link to the lake under test. dbt parses again when the path of the warehouse changes, so all
lakes are built under this one path.
"""

TARGET = FOLDER / "target"
DBT = Path(sys.executable).with_name("dbt")
GENERATOR = ("sample", "landing")
"""The folders of `include/lake/` whose code decides what a generated lake contains."""


@dataclass(frozen=True)
class Checkout:
    """The code that a build runs, and the folder of its dbt artifacts."""

    root: Path = ROOT
    target: Path = TARGET

    @property
    def project(self) -> Path:
        """The dbt project."""
        return self.root / "dbt"


@dataclass(frozen=True)
class DbtTimes:
    """The seconds of one `dbt build` by part; `models` and `tests` are sums over two threads.

    `start` is the start of the process, the load of the parsed project, and the end.
    """

    total: float
    start: float
    nodes: float
    models: float
    tests: float
    by_node: dict[str, float]


@dataclass(frozen=True)
class Build:
    """The seconds of the three steps of `make build`, and those of the processor in all of them."""

    partitions: float
    dbt: DbtTimes
    record: float
    processor: float

    @property
    def total(self) -> float:
        """The seconds that a user waits."""
        return self.partitions + self.dbt.total + self.record


@dataclass(frozen=True)
class Lake:
    """A folder with a lake and, beside it, the warehouses built from it.

    `variables` are further variables of the environment of each command. The commands are those of
    `checkout`.
    """

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    checkout: Checkout = field(default_factory=Checkout)

    @property
    def lake(self) -> Path:
        """The lake itself."""
        return self.folder / "lake"

    @property
    def warehouse(self) -> Path:
        """The warehouse that dbt builds."""
        return self.folder / "warehouse.duckdb"

    @property
    def by_hand(self) -> Path:
        """The warehouse that the hand-written script builds."""
        return self.folder / "by_hand.duckdb"

    def settings(self) -> dict[str, str]:
        """The environment of a build of this lake, after `CURRENT` is linked to it."""
        CURRENT.unlink(missing_ok=True)
        CURRENT.symlink_to(self.folder)
        return {
            "GAME_ANALYTICS_LAKE": str(CURRENT / "lake"),
            "GAME_ANALYTICS_DUCKDB": str(CURRENT / "warehouse.duckdb"),
            "PYTHONPATH": str(self.checkout.root),
            "DBT_PROJECT_DIR": str(self.checkout.project),
            "DBT_PROFILES_DIR": str(self.checkout.project),
            "DBT_TARGET_PATH": str(self.checkout.target),
            "DBT_LOG_PATH": str(FOLDER / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DO_NOT_TRACK": "1",
            **self.variables,
        }

    def command(self, *arguments: str) -> float:
        """The seconds of one command of `python -m include.lake`."""
        return self._seconds_of(sys.executable, "-m", "include.lake", *arguments)

    def _seconds_of(self, *command: str) -> float:
        return seconds_of(command, self.settings(), self.checkout.root)

    def event_count(self) -> int:
        """The number of rows in `raw_events`."""
        return sum(self.events_by_day())

    def events_by_day(self) -> list[int]:
        """The numbers of rows in the partitions of `raw_events`, the newest day first."""
        import duckdb

        pattern = str(self.lake / "raw_events" / "**" / "[!_.]*.parquet")
        counted = duckdb.sql(
            f"select count(*) from read_parquet('{pattern}', hive_partitioning = true)"
            " group by year, month, day order by year desc, month desc, day desc"
        )
        return [int(count) for (count,) in counted.fetchall()]

    def build(self, *selected: str) -> Build:
        """Run what `make build` runs: partitions, `dbt build`, record.

        With `selected`, dbt builds these nodes and runs the tests that read no others.
        """
        used = processor_seconds()
        partitions = self.command("partitions")
        select = ["--indirect-selection", "buildable", "--select", *selected] if selected else []
        total = self._seconds_of(str(DBT), "build", "--exclude-resource-type", "unit_test", *select)
        times = _times(total, self.checkout.target)
        record = self.command("record")
        return Build(partitions, times, record, processor_seconds() - used)

    def build_anew(self, *selected: str) -> Build:
        """Run what `make build` runs, from an empty warehouse."""
        _remove(self.warehouse)
        return self.build(*selected)

    def build_by_hand(self) -> float:
        """The seconds of the hand-written script as a process, from an empty warehouse."""
        _remove(self.by_hand)
        module = "tests.benchmarks.by_hand"
        command = [sys.executable, "-m", module, str(self.warehouse), str(self.by_hand)]
        return seconds_of(command, {})


def generated(days: int, players: int) -> Lake:
    """Return a generated lake. A lake that the same generator made in an earlier run is reused."""

    def write(lake: Lake) -> None:
        progress(f"generating {days} days, {players:,} players")
        sample = {"--days": days, "--players": players, "--seed": SEED, "--end": END}
        lake.command("generate", *(str(word) for pair in sample.items() for word in pair))

    return kept(f"{days}x{players}", write)


def kept(name: str, write: Callable[[Lake], object]) -> Lake:
    """The lake of this name, which `write` writes unless an earlier run has kept it.

    A lake that another version of the generator wrote is written again.
    """
    digest = hashlib.sha256(Path(large_lake.__file__).read_bytes())
    for folder_name in GENERATOR:
        for path in sorted((ROOT / "include" / "lake" / folder_name).glob("*.py")):
            digest.update(path.read_bytes())
    folder = FOLDER / "lakes" / f"{name}-{digest.hexdigest()[:8]}"
    lake = Lake(folder)
    done = folder / "done"
    if not done.exists():
        for old in folder.parent.glob(f"{name}-*"):
            shutil.rmtree(old)
        folder.mkdir(parents=True)
        write(lake)
        done.touch()
    return lake


def last_days_of(lake: Lake, days: int) -> Lake:
    """Return a lake with the last days of another one, whose files are copied unchanged."""
    other = Lake(lake.folder.with_name(f"{lake.folder.name}-last-{days}"))
    shutil.rmtree(other.folder, ignore_errors=True)
    first = END - timedelta(days=days - 1)

    def older(folder: str, names: list[str]) -> Iterable[str]:
        if "_landing" in folder:
            return names
        return [name for name in names if _is_before(Path(folder) / name, first)]

    shutil.copytree(lake.lake, other.lake, ignore=older)
    return other


def _is_before(path: Path, first: date) -> bool:
    """Whether a file lies in the partition of an earlier day."""
    keys = dict(part.split("=", 1) for part in path.parts if "=" in part)
    if path.is_dir() or not keys:
        return False
    day = keys.get("date") or f"{keys['year']}-{keys['month']}-{keys['day']}"
    return date.fromisoformat(day) < first


def prepare(checkout: Checkout | None = None) -> None:
    """Make the manifest and parse the project once, since an earlier build did so for a user."""
    checkout = checkout or Checkout()
    progress("parsing the dbt project")
    settings = Lake(FOLDER, checkout=checkout).settings()
    python_path = {"PYTHONPATH": settings["PYTHONPATH"]}
    seconds_of([sys.executable, "-m", "include.manifest"], python_path, checkout.root)
    shutil.rmtree(checkout.target, ignore_errors=True)
    seconds_of([str(DBT), "parse"], settings, checkout.root)


def _times(total: float, target: Path) -> DbtTimes:
    """Split the seconds of the last `dbt build` by the artifacts that dbt wrote about it."""
    results = json.loads((target / "run_results.json").read_bytes())
    by_node = {entry["unique_id"]: entry["execution_time"] for entry in results["results"]}
    tests = sum(seconds for node, seconds in by_node.items() if node.startswith("test."))
    failed = [
        entry["unique_id"]
        for entry in results["results"]
        if entry["status"] not in {"success", "pass", "warn", "no-op"}
    ]
    if failed:
        raise UserError(f"`dbt build` did not build all: {', '.join(failed)}.")
    started = [
        datetime.fromisoformat(entry["timing"][0]["started_at"])
        for entry in results["results"]
        if entry["timing"]
    ]
    ended = datetime.fromisoformat(results["metadata"]["generated_at"])
    nodes = (ended - min(started)).total_seconds()
    return DbtTimes(
        total=total,
        start=total - nodes,
        nodes=nodes,
        models=sum(by_node.values()) - tests,
        tests=tests,
        by_node=by_node,
    )


def _remove(warehouse: Path) -> None:
    for path in (warehouse, warehouse.with_name(f"{warehouse.name}.wal")):
        path.unlink(missing_ok=True)
