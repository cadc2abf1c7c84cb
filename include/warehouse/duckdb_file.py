"""Opening the DuckDB file, with every way in which that can fail as one sentence and a remedy."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


class DuckDB:
    """A `Database` on an open DuckDB connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.connection.execute(sql, list(values)).fetchall()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        """A statement that returns nothing."""
        self.connection.execute(sql, list(values))

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows in one statement: a row at a time takes a second per thousand."""
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            places = ", ".join("unnest(?)" for _ in columns)
            self.connection.execute(f"insert into {table} select {places}", columns)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of the statements within."""
        self.connection.begin()
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()
