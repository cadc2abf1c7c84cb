"""Figures with their goals, runs that take turns, and processes whose seconds are taken."""

from __future__ import annotations

import os
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
    """One line of the report. `goal` is the least or, if `at_most`, the largest value wanted.

    `samples` are the single measurements whose median (or whose medians' ratio) the value is.
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
        """Whether the goal is met, and else how far it is; empty without a goal."""
        if self.goal is None:
            return ""
        off = self.value / self.goal - 1 if self.at_most else 1 - self.value / self.goal
        return "met" if off <= 0 else f"short by {off:.0%}"


@dataclass(frozen=True)
class Skipped:
    """A part that was not measured, and why."""

    part: str
    reason: str


@dataclass(frozen=True)
class Noted:
    """What is to be known beside the figures, and is neither a goal nor a fault of ours."""

    part: str
    reason: str


@dataclass(frozen=True)
class Failed:
    """What must hold and did not; the benchmark then ends with 1."""

    part: str
    reason: str


def progress(text: str) -> None:
    """One line on the terminal, with the seconds since the start."""
    print(f"{time.monotonic() - _BEGAN:6.0f} s  {text}", flush=True)


def taking_turns(rounds: int, runs: Mapping[str, Callable[[], Result]]) -> dict[str, list[Result]]:
    """Run each in turn, so many times: what else the machine does then slows all of them alike."""
    results: dict[str, list[Result]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            began = time.monotonic()
            results[name].append(run())
            progress(f"{name}, {number + 1} of {rounds}: {time.monotonic() - began:.1f} s")
    return results


def median(values: Sequence[float]) -> float:
    """The middle one, which a single disturbed run does not move."""
    return statistics.median(values)


def ratio_of_turns(one: Sequence[float], other: Sequence[float]) -> tuple[float, list[float]]:
    """The median ratio of runs that took turns, and the ratio of each round."""
    ratios = [mine / its for mine, its in zip(one, other, strict=True)]
    return median(ratios), ratios


def seconds_of(
    command: Sequence[str],
    settings: Mapping[str, str],
    folder: Path = ROOT,
    limit: float | None = None,
) -> float:
    """Run a program to its end and return its seconds, its start included.

    Its output goes to `LOG`. Raises UserError with the last lines of it if the program fails, or
    has to be asked to end since it has not after `limit` seconds.
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
        said = LOG.read_text(errors="replace").splitlines()[-LOG_LINES:]
        raise UserError(f"`{_shown(command)}` ended with {process.returncode}:\n" + "\n".join(said))
    return seconds


def clean_environment() -> dict[str, str]:
    """The environment without the user's settings of this package, of dbt and of Airflow."""
    return {
        name: text
        for name, text in os.environ.items()
        if "GAME_ANALYTICS_" not in name and not name.startswith(("AIRFLOW", "DBT_"))
    }


def _shown(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])
