"""Opening the DuckDB file, with every way in which that can fail as one sentence and a remedy."""

from __future__ import annotations

import re
import time
from pathlib import Path

import duckdb

from include.settings import UserError

WAIT = "Close it, or wait until it is done, and run again."


def connect(
    path: Path, patience: float = 0, *, read_only: bool = False
) -> duckdb.DuckDBPyConnection:
    """Open the file; for writing it is made if it is not there.

    Another process may hold it: for `patience` seconds that is waited out. Raises UserError.
    """
    if path.is_dir():
        raise UserError(
            f"the warehouse {path} is a folder: set GAME_ANALYTICS_DUCKDB to a file in it."
        )
    deadline = time.monotonic() + patience
    while True:
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            return duckdb.connect(
                str(path), read_only=read_only, config={"autoinstall_known_extensions": False}
            )
        except (duckdb.Error, OSError) as error:
            if "Could not set lock" in str(error) and time.monotonic() < deadline:
                time.sleep(0.2)
                continue
            raise UserError(_explanation(path, str(error))) from None


def _explanation(path: Path, said: str) -> str:
    if "Could not set lock" in said or "already open" in said:
        holder = re.search(r"held in (.+?) \(PID (\d+)\)", said)
        by = f" by {holder[1]} (process {holder[2]})" if holder else " by another process"
        return f"the warehouse {path} is open{by}. {WAIT}"
    if "version number" in said or "newer" in said:
        return (
            f"the warehouse {path} was written by another DuckDB than {duckdb.__version__}, "
            "the one in .venv/dbt: open it with that one, export it, or move it away and run again."
        )
    if "not a valid DuckDB" in said or "Corrupt" in said or "checksum" in said.lower():
        return (
            f"the warehouse {path} is damaged or no DuckDB file: restore it, "
            "or move it away and run again, which builds all but the snapshots' history anew."
        )
    if "No space left" in said:
        return f"the disk of the warehouse {path} is full: make room and run again."
    first = said.splitlines()[0].rstrip(".")
    return f"the warehouse {path} cannot be opened ({first}): give this user access."
