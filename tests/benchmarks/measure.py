"""Figures with their goals, runs that take turns, and the seconds of processes."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from include.settings import ROOT, UserError

Result = TypeVar("Result")

FOLDER = ROOT / "data" / "benchmarks"
LOG = FOLDER / "last.log"
LOG_LINES = 15
_BEGAN = time.monotonic()


@dataclass(frozen=True)
class Figure:
    """One line of the report. `goal` is the largest value allowed, or the least if not `at_most`.

    `value` is the median of `samples`, the single measurements, or the ratio of two medians.
    """

    part: str
    name: str
    value: float
    unit: str
    goal: float | None = None
    at_most: bool = True
    samples: Sequence[float] = field(default_factory=tuple)

    @property
    def verdict(self) -> str:
        """Whether the goal is met, or by how much it is missed. Empty without a goal."""
        if self.goal is None:
            return ""
        off = self.value / self.goal - 1 if self.at_most else 1 - self.value / self.goal
        return "met" if off <= 0 else f"short by {off:.0%}"


@dataclass(frozen=True)
class Skipped:
    """A part that was not measured, with the reason."""

    part: str
    reason: str


@dataclass(frozen=True)
class Noted:
    """A fact beside the figures that is neither a goal nor a failure of this package."""

    part: str
    reason: str


@dataclass(frozen=True)
class Failed:
    """A condition that must hold and did not. The exit code of the benchmark is then 1."""

    part: str
    reason: str


def progress(text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"{time.monotonic() - _BEGAN:6.0f} s  {text}", flush=True)


def taking_turns(rounds: int, runs: Mapping[str, Callable[[], Result]]) -> dict[str, list[Result]]:
    """Run all of them in turn, `rounds` times, so that other load slows all of them alike."""
    results: dict[str, list[Result]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            began = time.monotonic()
            results[name].append(run())
            progress(f"{name}, {number + 1} of {rounds}: {time.monotonic() - began:.1f} s")
    return results


def median(values: Sequence[float]) -> float:
    """The median, which one disturbed run does not change."""
    return statistics.median(values)


def ratio_of_turns(one: Sequence[float], other: Sequence[float]) -> tuple[float, list[float]]:
    """The median ratio of runs that took turns, and the ratio of each round."""
    ratios = [a / b for a, b in zip(one, other, strict=True)]
    return median(ratios), ratios


def seconds_of(
    command: Sequence[str],
    settings: Mapping[str, str],
    folder: Path = ROOT,
    limit: float | None = None,
) -> float:
    """Run a program to its end and return its seconds, including its start.

    Its output goes to `LOG`. Raises UserError with the last lines of the output if the program
    fails, or if it is terminated after `limit` seconds.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with LOG.open("wb") as log:
        began = time.perf_counter()
        with subprocess.Popen(
            command,
            cwd=folder,
            env={**clean_environment(), "PYTHONPATH": str(ROOT), **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process:
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                process.terminate()
        seconds = time.perf_counter() - began
    if process.returncode:
        tail = "\n".join(LOG.read_text(errors="replace").splitlines()[-LOG_LINES:])
        raise UserError(f"`{_shown(command)}` ended with {process.returncode}:\n{tail}")
    return seconds


def processor_seconds() -> float:
    """The seconds that the processor has spent in the processes that this one started and ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def clean_environment() -> dict[str, str]:
    """The environment without the user's settings for this package, dbt and Airflow."""
    return {
        name: text
        for name, text in os.environ.items()
        if "GAME_ANALYTICS_" not in name and not name.startswith(("AIRFLOW", "DBT_"))
    }


def _shown(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])
