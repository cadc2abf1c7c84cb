"""The DuckDB file: a connection to it, and one sentence with a remedy for each way to fail."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from include.settings import UserError

WAIT = "Close that program or wait for its end, then run again."


def connect(
    path: Path, timeout_seconds: float = 0, *, read_only: bool = False
) -> duckdb.DuckDBPyConnection:
    """Open the file. Unless it is opened `read_only`, a missing file is created with its folder.

    If another process has opened the file, this waits for it for `timeout_seconds`. Raises
    UserError if the file cannot be opened.
    """
    if path.is_dir():
        raise UserError(
            f"the warehouse {path} is a folder: set GAME_ANALYTICS_DUCKDB to a file in it."
        )
    deadline = time.monotonic() + timeout_seconds
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


def _explanation(path: Path, message: str) -> str:
    """What is wrong with the file, by DuckDB's message, and the remedy."""
    if "Could not set lock" in message or "already open" in message:
        holder = re.search(r"held in (.+?) \(PID (\d+)\)", message)
        by = f" by {holder[1]} (process {holder[2]})" if holder else " by another process"
        return f"the warehouse {path} is open{by}. {WAIT}"
    if "version number" in message or "newer" in message:
        return (
            f"the warehouse {path} was written by another DuckDB than version "
            f"{duckdb.__version__} of .venv/dbt: export it with the DuckDB that wrote it, or move "
            "it away and run again."
        )
    if "not a valid DuckDB" in message or "Corrupt" in message or "checksum" in message.lower():
        return (
            f"the warehouse {path} is damaged or no DuckDB file: restore it, "
            "or move it away and run again, which builds everything but the history in snapshots."
        )
    if "No space left" in message:
        return f"the disk of the warehouse {path} is full: make room and run again."
    first = message.splitlines()[0].rstrip(".")
    return f"the warehouse {path} cannot be opened ({first}): give this user access."


class DuckDB:
    """A `Database` on an open DuckDB connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.connection.execute(sql, list(values)).fetchall()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Run a statement without a result."""
        self.connection.execute(sql, list(values))

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows with one statement, because 1,000 statements of one row take a second."""
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            places = ", ".join("unnest(?)" for _ in columns)
            self.connection.execute(f"insert into {table} select {places}", columns)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the statements of the block together, or none of them if it raises."""
        self.connection.begin()
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()
