"""The memory of all processes that a run starts, directly or not."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from threading import Event, Thread
from types import TracebackType

MARK = "BENCHMARK_RUN"
"""An environment variable that every process inherits that is started while memory is watched."""
PROC = Path("/proc")
PAUSE = 1.0
"""Seconds between two readings. A reading of fourteen processes takes 0.05 s."""


class Memory(Thread):
    """A context manager that watches the memory of the processes that are started in it.

    `peak` is the largest sum, in MB, of the processes' proportional set sizes. A page that n
    processes share counts as 1/n in each of them; otherwise the forks of Airflow's scheduler would
    count several times. `peak` stays 0 without `/proc`. `processes` is the largest number of
    processes at one time.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self.processes = 0
        self.mark = secrets.token_hex(8)
        self.ended = Event()
        self.ours: set[Path] = set()

    def __enter__(self) -> Memory:
        os.environ[MARK] = self.mark
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del os.environ[MARK]
        self.ended.set()
        self.join()

    def run(self) -> None:
        """Read the memory of the marked processes until the context ends."""
        while not self.ended.wait(PAUSE):
            sizes = [size for folder in self._marked() if (size := _size(folder))]
            self.peak = max(self.peak, sum(sizes) / 1024)
            self.processes = max(self.processes, len(sizes))

    def _marked(self) -> set[Path]:
        """The folders in `/proc` of the processes that have the mark in their environment."""
        now = set(PROC.glob("[1-9]*"))
        self.ours &= now
        wanted = f"{MARK}={self.mark}".encode()
        for folder in now - self.ours:
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    self.ours.add(folder)
        return self.ours


def _size(folder: Path) -> int:
    """The proportional set size of a process in kB; 0 if the process has ended."""
    try:
        return proportional((folder / "smaps_rollup").read_text())
    except OSError:
        return 0


def proportional(rollup: str) -> int:
    """The value of the line `Pss:` of a `smaps_rollup`, in kB; 0 if there is no such line."""
    found = re.search(r"^Pss: +(\d+) kB$", rollup, re.MULTILINE)
    return int(found[1]) if found else 0
