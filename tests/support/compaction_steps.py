"""Compacts copies of a small lake, and disturbs each copy at another step.

`python -m tests.support.compaction_steps SCENARIO TEMPLATE FOLDER` compacts `FOLDER/1`, `FOLDER/2`
and so on, which are copies of the lake `TEMPLATE`, each in a process of its own. A step is an
operation that changes the lake. Right before the n-th step of the n-th copy happens what the
scenario says. The program ends when a compaction has no n-th step. The processes are forked from
one that has imported everything and has no threads.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.compactions import DAYS, export, manifest

ROOT = Path(__file__).parents[2]
KILL, REPLACE, UNDO, AGAIN, LAND = "kill", "replace", "undo", "again", "land"
"""The scenarios.

`kill` kills the process by SIGKILL. `replace` replaces a file by an export. `undo` replaces a file
right before the merged file gets its name, so that the merge is undone, and kills the process.
`again` kills the process, and also the next compaction, at a random step. `land` lands a file that
was landed before, and another one, in a second process.
"""
NEW = [("new", 2)]
"""The rows of the file that replaces another one."""
REPLACED = f"{DAYS[0]}/a.parquet"


def disturbed(scenario: str, template: Path, folder: Path, **environment: str) -> list[Path]:
    """Run this program; returns the copies of the lake in the order of their steps."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.compaction_steps", scenario, template, folder],
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(
        (path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)
    )


class Steps:
    """Counts the steps of this process, and calls a function before one of them."""

    CHANGES = ("os.rename", "os.link", "os.remove", "os.mkdir", "open")

    def __init__(self, lake: Path) -> None:
        self._lake = f"{lake}/"
        self._is_acting = False
        self.count = 0
        self.at: dict[int, Callable[[], None]] = {}
        self.before_merged: Callable[[], None] = lambda: None
        sys.addaudithook(self._on_event)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in self.CHANGES or self._is_acting:
            return
        if not str(arguments[0]).startswith(self._lake):
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        self.count += 1
        self._is_acting = True
        target = str(arguments[1]) if event == "os.rename" else ""
        if "/merged-" in target and "_compacted" not in target:
            self.before_merged()
            self.before_merged = lambda: None
        self.at.get(self.count, lambda: None)()
        self._is_acting = False


def die() -> None:
    """End this process as the kernel ends one that is out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[], None]) -> int:
    """Run a function in a forked process; returns its exit code, negative for a signal."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        work()
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def compaction(lake: Path, prepare: Callable[[Steps], None] = lambda _: None) -> int:
    """Compact a lake in a forked process; returns its exit code."""
    from include.lake.compaction.compact import compact_source
    from include.lake.storage.folder import FolderLake

    def work() -> None:
        steps = Steps(lake)
        prepare(steps)
        compact_source(FolderLake(lake), manifest(), "raw_events", None, None)
        lake.with_name(f"{lake.name}.steps").write_text(str(steps.count))

    return in_child(work)


def steps_of(lake: Path) -> int:
    """The number of steps of a compaction that has ended."""
    return int(lake.with_name(f"{lake.name}.steps").read_text())


def replace(lake: Path) -> None:
    """Replace a file by the one that was prepared beside the lake."""
    prepared = lake.with_name(f"{lake.name}.new")
    export(prepared, NEW)
    prepared.replace(lake / REPLACED)


def disturb(scenario: str, lake: Path, number: int) -> bool:
    """Compact a lake and disturb it at a step; returns whether there was such a step."""

    def prepare(steps: Steps) -> None:
        if scenario == REPLACE:
            steps.at[number] = lambda: replace(lake)
            return
        steps.at[number] = die
        if scenario == UNDO:
            steps.before_merged = lambda: replace(lake)

    if scenario == LAND:
        return land_beside(lake, number)
    code = compaction(lake, prepare)
    if code == 0:
        return scenario == REPLACE and steps_of(lake) >= number
    assert code == -signal.SIGKILL, code
    if scenario == AGAIN:
        at = random.Random(number).randint(1, 12)  # noqa: S311 - equal tests need equal numbers
        code = compaction(lake, lambda steps: steps.at.update({at: die}))
        assert code in {0, -signal.SIGKILL}, code
    return True


def land_beside(lake: Path, number: int) -> bool:
    """Compact a lake while a second process lands two files that lie beside the template."""
    from include.lake.landing.landing import land_files

    files = sorted(str(path) for path in lake.parent.glob("*.jsonl"))
    start, begin = os.pipe()
    landing = os.fork()
    if not landing:
        code = 1
        try:
            os.close(begin)
            if os.read(start, 1):
                land_files(lake, files, report=str)
            code = 0
        finally:
            os._exit(code)
    os.close(start)

    def land() -> None:
        os.write(begin, b"x")
        # The landing ends in this time, or it waits until the compaction lets it go on.
        time.sleep(0.15)

    code = compaction(lake, lambda steps: steps.at.update({number: land}))
    assert code == 0, code
    os.close(begin)
    assert os.waitstatus_to_exitcode(os.waitpid(landing, 0)[1]) == 0
    return steps_of(lake) >= number


def main(scenario: str, template: Path, folder: Path) -> None:
    """Disturb a copy at each step."""
    number = 0
    is_disturbed = True
    while is_disturbed:
        number += 1
        lake = folder / str(number)
        shutil.copytree(template, lake)
        is_disturbed = disturb(scenario, lake, number)


if __name__ == "__main__":
    # Threads of these modules would not live in a forked process, so they are only imported here.
    import duckdb  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
