"""How much memory DuckDB may use: computed from what this process may have.

DuckDB itself takes 80 % of the machine's memory, which is too much beside Airflow and in a
container, where the kernel then kills the process. Every connection of the package is opened with
`options` instead: those of dbt by `include/warehouse/duckdb_plugin.py`, all others by
`include/warehouse/duckdb_file.py`.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from include.settings import Settings

MIB = 1 << 20
RESERVE = 384 * MIB
"""The memory of a dbt process that DuckDB does not count: Python, dbt and the parsed project."""
SHARE = 0.6
"""The part of the rest that DuckDB may use. Some of its operators exceed the limit for a while."""
LEAST = 256 * MIB
"""The smallest limit with which the sample can be built."""
PER_THREAD = 128 * MIB
"""The memory that each of DuckDB's threads needs, as DuckDB's documentation recommends."""
UNLIMITED = 1 << 60
"""Control groups of version 1 write a number above this if there is no limit."""


@dataclass(frozen=True)
class Machine:
    """The places where the kernel describes the memory of the machine and of this process."""

    proc: Path = Path("/proc")
    cgroup: Path = Path("/sys/fs/cgroup")

    def available(self) -> int:
        """The bytes that this process may still take: the least of all limits that exist."""
        found = [self._physical(), *self._cgroups(), *self._address_space()]
        return max(0, min(found))

    def _physical(self) -> int:
        """The machine's free memory and what the kernel can free, or else all its memory."""
        with suppress(OSError):
            read = (self.proc / "meminfo").read_text()
            if found := re.search(r"^MemAvailable: +(\d+) kB$", read, re.MULTILINE):
                return int(found[1]) * 1024
        # Only Linux reports what is available. Half is assumed to be in use by other programs.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2

    def _cgroups(self) -> Iterator[int]:
        """What is left in each control group that holds this process, of either version."""
        lines: list[str] = []
        with suppress(OSError):
            lines = (self.proc / "self" / "cgroup").read_text().splitlines()
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                root, files = self.cgroup, "inactive_file"
                limit, used = "memory.max", "memory.current"
            elif "memory" in controllers.split(","):
                root, files = self.cgroup / "memory", "total_inactive_file"
                limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
            else:
                continue
            for folder in _folders(root, path):
                most = _number(folder / limit)
                if most is None or most >= UNLIMITED:
                    continue
                # The kernel frees file pages that were not read lately before it kills a process.
                yield most - (_number(folder / used) or 0) + _stat(folder / "memory.stat", files)

    def _address_space(self) -> Iterator[int]:
        """What is left of the limit of `ulimit -v`, if there is one."""
        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most == resource.RLIM_INFINITY:
            return
        used = 0
        with suppress(OSError, ValueError, IndexError):
            pages = (self.proc / "self" / "statm").read_text().split()[0]
            used = int(pages) * os.sysconf("SC_PAGE_SIZE")
        yield most - used


def _folders(root: Path, path: str) -> Iterator[Path]:
    """The folder of a control group and those above it, up to the root.

    A container may see only its own group, as the root, while the path is the machine's.
    """
    parts = [part for part in path.split("/") if part not in {"", "..", "."}]
    for length in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:length])


def _number(path: Path) -> int | None:
    """The number in a file; None if there is no such file, or it holds the word `max`."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _stat(path: Path, name: str) -> int:
    """The number behind a name in a file `memory.stat`, or else 0."""
    with suppress(OSError):
        if found := re.search(rf"^{name} (\d+)$", path.read_text(), re.MULTILINE):
            return int(found[1])
    return 0


def limit(settings: Settings, machine: Machine | None = None) -> int:
    """The bytes that DuckDB may use, by the setting DUCKDB_MEMORY or else by the machine."""
    if settings.duckdb_memory:
        number, unit = settings.duckdb_memory[:-3], settings.duckdb_memory[-3:]
        return int(number) * {"MiB": MIB, "GiB": 1024 * MIB}[unit]
    return limit_of((machine or Machine()).available())


def limit_of(available: int) -> int:
    """The bytes that DuckDB may use where so many are available."""
    return max(LEAST, int((available - RESERVE) * SHARE))


def options(
    settings: Settings, *, read_only: bool = False, machine: Machine | None = None
) -> dict[str, str | int]:
    """DuckDB's configuration for a connection.

    Only one process can write to the warehouse file, but several can read it at once. So a reader
    gets a quarter of the limit.
    """
    most = limit(settings, machine)
    if read_only:
        most = max(LEAST // 2, most // 4)
    threads = max(1, min(_cores(), most // PER_THREAD))
    return {"memory_limit": f"{most // MIB}MiB", "threads": threads}


def _cores() -> int:
    """The number of cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
