"""A copy of the package, in which the commands of a laptop run without touching the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from include.settings import ROOT

STEPS = {
    *("preflight", "partitions", "freshness", "dbt_build", "cross_model_tests"),
    *("record_partitions", "kpi_summary", "publish", "done"),
}
"""The tasks of a run of the DAG `game_analytics` that are not nodes."""


@dataclass(frozen=True)
class Checkout:
    """A copy of `dags/`, `include/` and `plugins/`, with its own lake and Airflow home."""

    root: Path
    execution: str = "watcher"
    seconds: float = 600
    """The seconds after which a command is killed."""

    @classmethod
    def make(cls, root: Path, execution: str = "watcher") -> Checkout:
        """Copy the package. The copy uses the Python environments of the checkout."""
        if not (ROOT / ".venv/dbt/.installed").exists():
            pytest.skip("dbt's environment is not installed")
        for folder in ("dags", "include", "plugins"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
        (root / ".venv").symlink_to(ROOT / ".venv")
        return cls(root, execution)

    @property
    def lake(self) -> Path:
        """The folder of the lake."""
        return self.root / "data" / "lake"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command in this checkout."""
        return {
            **{name: text for name, text in os.environ.items() if not name.startswith("AIRFLOW")},
            "PYTHONPATH": str(self.root),
            "GAME_ANALYTICS_EXECUTION": self.execution,
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def run(
        self, *arguments: str, python: Path | str = sys.executable, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m …` to its end."""
        return subprocess.run(
            [str(python), "-m", *arguments],
            cwd=self.root,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=self.seconds,
            check=False,
            umask=0o022,
        )

    def run_dbt(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m …` of dbt's environment to its end."""
        python = ROOT / ".venv" / "dbt" / "bin" / "python"
        return self.run(*arguments, python=python, **environment)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start `python -m …`; the caller reads its output line by line."""
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self.root,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=0o022,
        )

    def left_running(self) -> list[str]:
        """The commands of all processes that run in this checkout."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PYTHONPATH") == str(self.root):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """Read a process's output up to the line that contains the text."""
    seen = ""
    for line in process.stdout or ():
        seen += line
        if text in line:
            return seen
    pytest.fail(f"the process ended without printing {text!r}: {seen}")


def kill_scheduler(process: subprocess.Popen[str]) -> None:
    """`kill -9` the scheduler that a command started."""
    schedulers = [
        child
        for child in psutil.Process(process.pid).children()
        if "scheduler" in " ".join(child.cmdline())
    ]
    assert len(schedulers) == 1
    schedulers[0].kill()


def states(output: str, tasks: set[str]) -> dict[str, list[str]]:
    """The states that a run printed for tasks, in order, by task."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) >= 4 and words[1] == "s" and words[2] in tasks:
            found.setdefault(words[2], []).append(words[3])
    return found
