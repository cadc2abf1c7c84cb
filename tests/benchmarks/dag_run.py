"""The DAG through Airflow's scheduler, compared with plain `dbt build` of the same project.

The package's mode `watcher`, Cosmos LOCAL (mode `local`) and Cosmos's own WATCHER
(`stock_watcher.py`) run in a copy of this checkout under the same Airflow, each from an empty
warehouse. Airflow is already running when a DAG run begins, so its start is not measured.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from include.manifest import Manifest
from include.settings import ROOT, UserError
from tests.benchmarks import many_models
from tests.benchmarks.against_hand import SAMPLE_LAKE
from tests.benchmarks.builds import generated
from tests.benchmarks.measure import (
    FOLDER,
    Failed,
    Figure,
    Noted,
    Skipped,
    median,
    progress,
    ratio_of_turns,
    seconds_of,
    taking_turns,
)
from tests.benchmarks.memory import Memory
from tests.benchmarks.run_times import RunTimes, blocked_seconds, layers, parents_by_name

PART = "dag"
LARGE = "dag200"
HUGE = "dag1000"
GOAL, GOAL_LARGE = 2.0, 1.15
GOAL_TAIL, GOAL_BLOCKED = 5.0, 5.0
"""Seconds of a run: from the last node result to the last node's end, and of the triggerer."""
HERE = Path(__file__).parent
AIRFLOW = ROOT / ".venv" / "airflow" / "bin" / "python"
DBT = ROOT / ".venv" / "dbt" / "bin"
LIMIT = 1500.0
"""Seconds after which a run is terminated, because Cosmos's WATCHER has hung before."""

Line = Figure | Noted | Skipped | Failed


@dataclass(frozen=True)
class Run:
    """One run: the `seconds` and `peak` (MB) of all its processes, and the `fault` if it failed.

    `blocked` is how long the event loop of the triggerer was blocked, in seconds.
    """

    seconds: float
    peak: float
    processes: int
    times: RunTimes
    fault: str = ""
    blocked: float = 0.0


@dataclass(frozen=True)
class Plain:
    """One `dbt build` as a process."""

    seconds: float
    peak: float


@dataclass(frozen=True)
class Checkout:
    """A copy of this checkout, so that the user's Airflow and warehouse stay untouched."""

    root: Path
    lake: Path

    @classmethod
    def make(cls, name: str, lake: Path, project: Path = ROOT / "dbt") -> Checkout:
        """Copy the package with this dbt project, and make the manifest."""
        root = FOLDER / name
        shutil.rmtree(root, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__", "target", "logs")
        for folder in ("dags", "include", "plugins"):
            shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
        shutil.copytree(project, root / "dbt", ignore=ignored)
        (root / ".venv").symlink_to(ROOT / ".venv")
        checkout = cls(root, lake)
        checkout.command(AIRFLOW, "include.manifest")
        return checkout

    @property
    def warehouse(self) -> Path:
        """The warehouse that the runs build."""
        return self.root / "warehouse.duckdb"

    @property
    def manifest(self) -> Manifest:
        """The manifest of the project."""
        return Manifest.read(self.root / "dbt" / "target" / "manifest.json")

    def command(self, python: Path, *arguments: str, **settings: str) -> float:
        """The seconds of `python -m …` in the checkout."""
        environment = {
            "PYTHONPATH": str(self.root),
            "GAME_ANALYTICS_LAKE": str(self.lake),
            "GAME_ANALYTICS_DUCKDB": str(self.warehouse),
        }
        command = [str(python), "-m", *arguments]
        return seconds_of(command, environment | settings, self.root, LIMIT)

    def run(self, execution: str = "watcher") -> Run:
        """Run `make run` from an empty warehouse; an error becomes the run's `fault`.

        The execution `stock` replaces the DAG, so no other execution can follow in this checkout.
        """
        self.warehouse.unlink(missing_ok=True)
        if execution == "stock":
            # The DAG of `stock` has no step `partitions`.
            self.command(DBT / "python", "include.lake", "partitions")
            shutil.copy(HERE / "stock_watcher.py", self.root / "dags" / "game_analytics.py")
            execution = "watcher"
        fault, seconds, began = "", 0.0, datetime.now(UTC)
        with Memory() as memory:
            try:
                seconds = self.command(
                    AIRFLOW, "include.laptop.run", GAME_ANALYTICS_EXECUTION=execution
                )
            except UserError as error:
                fault = str(error)
        database = self.root / ".airflow" / "airflow.db"
        times = RunTimes.read(database, began) if database.exists() else RunTimes({}, 0)
        log = self.root / ".airflow" / "logs" / "triggerer.log"
        blocked = blocked_seconds(log.read_text()) if log.exists() else 0.0
        return Run(seconds, memory.peak, memory.processes, times, fault, blocked)


def measure(rounds: int) -> list[Line]:
    """Measure on the sample's lake, with the real project."""
    if not AIRFLOW.exists():
        return [Skipped(PART, "Airflow's environment is not installed: `make install`")]
    lake = generated(*SAMPLE_LAKE)
    checkout = Checkout.make("checkout", lake.lake)

    def plain() -> Plain:
        with Memory() as memory:
            build = lake.build_anew()
        return Plain(build.dbt.total, memory.peak)

    others = {"Cosmos LOCAL": "local", "stock Cosmos WATCHER": "stock"}
    return _compare(PART, GOAL, rounds, plain, checkout, others)


def measure_large(rounds: int) -> list[Line]:
    """Measure on 200 generated models, twice at most, because each run takes minutes."""
    lines = _generated(LARGE, 1, min(rounds, 2), {"stock Cosmos WATCHER": "stock"})
    reason = "Cosmos LOCAL: 200 models at 4 s or more each show no more than the sample does"
    return [*lines, Skipped(LARGE, reason)]


def measure_huge() -> list[Line]:
    """Measure once on 1,000 generated models, without Cosmos's own modes."""
    reason = "Cosmos WATCHER: 200 models show as much in a fifth of the time"
    return [*_generated(HUGE, 5, 1, {}), Skipped(HUGE, reason)]


def _generated(part: str, multiple: int, rounds: int, others: Mapping[str, str]) -> list[Line]:
    """Measure on `multiple` times 200 generated models."""
    if not AIRFLOW.exists():
        return [Skipped(part, "Airflow's environment is not installed: `make install`")]
    project = FOLDER / "many_models"
    many_models.write(project, multiple)
    checkout = Checkout.make(f"checkout-{200 * multiple}", FOLDER / "no-lake", project)
    package = checkout.root / "include" / "lake"
    shutil.copy(HERE / "no_lake.py", package / "__main__.py")
    shutil.copy(HERE / "no_freshness.py", package / "run_days" / "freshness.py")
    checkout.lake.mkdir(exist_ok=True)
    warehouse = FOLDER / "many_models.duckdb"
    settings = {"GAME_ANALYTICS_DUCKDB": str(warehouse)}
    folders = ["--project-dir", str(project), "--profiles-dir", str(project)]
    # The DAG's project was parsed before its run, so this one is, too.
    seconds_of([str(DBT / "dbt"), "parse", *folders], settings, project)

    def plain() -> Plain:
        warehouse.unlink(missing_ok=True)
        with Memory() as memory:
            seconds = seconds_of([str(DBT / "dbt"), "build", *folders], settings, project)
        return Plain(seconds, memory.peak)

    return _compare(part, GOAL_LARGE, rounds, plain, checkout, others)


def _compare(
    part: str,
    goal: float,
    rounds: int,
    plain: Callable[[], Plain],
    checkout: Checkout,
    others: Mapping[str, str],
) -> list[Line]:
    """Measure plain `dbt build` and mode `watcher` by turns, then each other mode once."""
    loads = [os.getloadavg()[0]]
    plains: list[Plain] = []
    runs: list[Run] = []

    def run_plain() -> float:
        plains.append(plain())
        loads.append(os.getloadavg()[0])
        return plains[-1].seconds

    def run_ours() -> float:
        runs.append(checkout.run())
        loads.append(os.getloadavg()[0])
        if runs[-1].fault:
            raise UserError(runs[-1].fault)
        return runs[-1].times.whole

    seconds = taking_turns(rounds, {f"{part}: plain": run_plain, f"{part}: ours": run_ours})
    own = seconds[f"{part}: plain"]
    lines: list[Line] = [
        Figure(part, "plain `dbt build`", median(own), "s", samples=own),
        Figure(part, "plain: peak memory", max(each.peak for each in plains), "MB"),
        *_mode(part, "ours", runs, own, goal),
        *_where_it_goes(part, runs, own, checkout.manifest),
    ]
    for name, execution in others.items():
        progress(f"{part}: {name}, which takes minutes")
        run = checkout.run(execution)
        loads.append(os.getloadavg()[0])
        if run.fault:
            # The seconds of a failed run are not those of a build.
            lines.append(Noted(part, f"{name} failed: {_ended(run)}"))
        else:
            lines += _mode(part, name, [run], [median(own)], None)
            progress(f"{part}: {name}: {run.times.whole:.1f} s")
    load = f"load of the machine {min(loads):.1f} to {max(loads):.1f} on {os.cpu_count()} cores"
    return [*lines, Noted(part, load)]


def _ended(run: Run) -> str:
    """Describe how far a failed run came."""
    if not run.times.tasks:
        return run.fault
    states = Counter(task.state for task in run.times.tasks.values())
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    after = f"after {run.times.whole:.0f} s and {run.times.workers} worker processes"
    return f"{counts} {after}; {run.fault.splitlines()[-1]}"


def _mode(
    part: str, name: str, runs: list[Run], plain: list[float], goal: float | None
) -> list[Figure]:
    """The figures of the runs of a mode, and their ratio to the plain builds of the same turns."""
    whole = [run.times.whole for run in runs]
    graph = [run.times.graph for run in runs]
    tasks = len(runs[-1].times.tasks)
    whole_ratio, whole_ratios = ratio_of_turns(whole, plain)
    graph_ratio, graph_ratios = ratio_of_turns(graph, plain)
    everything = [run.seconds for run in runs if run.seconds]
    workers = [float(run.times.workers) for run in runs]
    peaks = [run.peak for run in runs]
    blocked = [run.blocked for run in runs]
    processes = float(max(run.processes for run in runs))
    return [
        Figure(part, f"{name}: DAG run, {tasks} tasks", median(whole), "s", samples=whole),
        Figure(part, f"{name}: of it dbt's graph", median(graph), "s", samples=graph),
        Figure(part, f"{name}: DAG run / plain", whole_ratio, "x", goal, samples=whole_ratios),
        Figure(part, f"{name}: graph / plain", graph_ratio, "x", goal, samples=graph_ratios),
        *(
            Figure(part, f"{name}: with Airflow's start and end", median(everything), "s")
            for _ in everything[:1]
        ),
        Figure(part, f"{name}: worker processes started", median(workers), "", samples=workers),
        Figure(
            part,
            f"{name}: the triggerer's loop was blocked",
            median(blocked),
            "s",
            GOAL_BLOCKED if goal else None,
            samples=blocked,
        ),
        Figure(part, f"{name}: peak memory, Airflow and dbt", max(peaks), "MB", samples=peaks),
        Figure(part, f"{name}: processes at one time", processes, ""),
    ]


def _where_it_goes(
    part: str, runs: list[Run], plain: list[float], manifest: Manifest
) -> list[Figure]:
    parents = parents_by_name(manifest, "cross_model_tests")
    split = [run.times.where_it_goes(parents) for run in runs]
    ratio, ratios = ratio_of_turns(
        [own["the producer: dbt, and publishing"] for own in split], plain
    )
    return [
        Figure(part, "  layers of the graph, cross-model tests last", layers(parents), ""),
        *(
            Figure(
                part,
                f"  {what}",
                median([own[what] for own in split]),
                "" if what.startswith("share") else "s",
                GOAL_TAIL if what.startswith("tail") else None,
                samples=[own[what] for own in split],
            )
            for what in split[0]
        ),
        Figure(part, "  the producer / plain", ratio, "x", samples=ratios),
    ]
