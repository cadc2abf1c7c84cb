"""The control folder: logs that a test reads, and faults that a test injects, in any process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.redshift_standin.refusals import Refused

FAULTS = {
    "serializable_conflict",
    "disk_full",
    "drop_connection",
    "statement_timeout",
    "expired_credentials",
    "file_vanishes",
    "permission_denied",
}


@dataclass(frozen=True)
class Fault:
    """A fault for the next `times` statements whose SQL or query group contains `match`.

    `match` is a regular expression. `expired_credentials` applies to logins, and `match` is
    searched in the user's name. `file_vanishes` fails the statement as if its first external file
    had been deleted after the listing; the object itself stays. `drop_connection` ends the session
    before its statement takes effect, and PostgreSQL rolls the open transaction back.
    """

    match: str
    fault: str
    times: int = 1

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(
                f"{self.fault!r} is not a fault. The faults are {', '.join(sorted(FAULTS))}."
            )
        re.compile(self.match)


@dataclass(frozen=True)
class Query:
    """A statement as the client sent it, and how it ended.

    `ended` is success, refused, failed, canceled or dropped.
    """

    number: int
    user: str
    query_group: str | None
    sql: str
    ended: str
    seconds: float
    sqlstate: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Scan:
    """An external table that a statement read, with the partitions that remained after pruning.

    A partition is written as `year=2026/month=11/day=04`. A table without partition columns has
    one partition, which is written as an empty text.
    """

    query: int
    query_group: str | None
    table: str
    partitions: list[str]
    files: list[str]
    bytes: int
    rows: int = 0
    total_partitions: int = 0
    format: str = field(default="", compare=False)


class Control:
    """Reads and writes one control folder.

    Logs are appended line by line, so that another process can read them meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def _faults(self) -> Path:
        return self.folder / "faults.json"

    def log(self, record: Query | Scan) -> None:
        name = "queries.jsonl" if isinstance(record, Query) else "scans.jsonl"
        with self._lock, (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")

    def queries(self, since: int = 0) -> list[Query]:
        """Return the statements with a number above `since`, in the order in which they ended."""
        return [Query(**line) for line in self._lines("queries.jsonl") if line["number"] > since]

    def scans(self, since: int = 0) -> list[Scan]:
        return [Scan(**line) for line in self._lines("scans.jsonl") if line["query"] > since]

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / name
        if not path.exists():
            return []
        # A line that is being written has no line feed yet. splitlines() would also split at the
        # line separators of Unicode, which may stand inside a line.
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the faults, so that no other thread or process changes them."""
        with self._lock, (self.folder / "faults.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def inject(self, *faults: Fault) -> None:
        with self._locked():
            self._write_faults(self._read_faults() + [asdict(fault) for fault in faults])

    def clear_faults(self) -> None:
        with self._locked():
            self._write_faults([])

    def take(self, kinds: set[str], *texts: str | None) -> Fault | None:
        """Return the first fault of these kinds that matches one of the texts, and use it once."""
        if not self._faults.exists():
            return None
        with self._locked():
            entries = self._read_faults()
            for entry in entries:
                if entry["fault"] in kinds and any(
                    text is not None and re.search(entry["match"], text, re.IGNORECASE | re.DOTALL)
                    for text in texts
                ):
                    fault = Fault(entry["match"], entry["fault"], int(entry.get("times", 1)))
                    entry["times"] = fault.times - 1
                    self._write_faults([other for other in entries if other.get("times", 1) > 0])
                    return fault
        return None

    def _read_faults(self) -> list[dict[str, Any]]:
        try:
            entries: list[dict[str, Any]] = json.loads(self._faults.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        return entries

    def _write_faults(self, entries: list[dict[str, Any]]) -> None:
        new = self._faults.with_suffix(".new")
        new.write_text(json.dumps(entries, indent=1), encoding="utf-8")
        new.replace(self._faults)


def error_of(fault: Fault, sql: str) -> Refused:
    """Return the error that the client gets for a fault of a statement."""
    match fault.fault:
        case "serializable_conflict":
            return Refused(
                "XX000",
                "1023",
                "Serializable isolation violation on table - 100101, transactions forming the "
                "cycle are: 4711, 4712 (pid:1073)",
            )
        case "disk_full":
            line = "-----------------------------------------------"
            return Refused(
                "53100",
                "Disk Full",
                f"\n  {line}\n  error:  Disk Full\n  code:      1016\n  context:   node: 0\n"
                f"  query:     0\n  location:  fdisk_api.cpp:557\n  {line}\n",
            )
        case "permission_denied":
            named = re.search(r"(?i)\b(?:into|update|from|table)\s+([\w\".]+)", sql)
            relation = named[1].replace('"', "").split(".")[-1] if named else "unknown"
            return Refused("42501", f"permission denied for relation {relation}")
        case "statement_timeout":
            return Refused("57014", "canceling statement due to statement timeout")
        case _:
            raise ValueError(fault.fault)
