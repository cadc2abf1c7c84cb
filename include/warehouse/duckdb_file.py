"""The DuckDB file: a connection to it, and one sentence with a remedy for each way to fail.

DuckDB writes what does not fit into its memory to the folder `<warehouse file>.tmp`, which it
removes when the process ends. The files of a killed process stay. The next process that opens the
warehouse for writing removes them, because no other process can have it open at that time.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from include import memory
from include.settings import Settings, UserError

WAIT = "Close that program or wait for its end, then run again."


def connect(
    path: Path,
    timeout_seconds: float = 0,
    *,
    read_only: bool = False,
    settings: Settings | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open the file. Unless it is opened `read_only`, a missing file is created with its folder.

    The connection may use the memory that the settings allow. If another process has opened the
    file, this waits for it for `timeout_seconds`. Raises UserError if the file cannot be opened.
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
            connection = duckdb.connect(
                str(path), read_only=read_only, config={"autoinstall_known_extensions": False}
            )
            break
        except (duckdb.Error, OSError) as error:
            if "Could not set lock" in str(error) and time.monotonic() < deadline:
                time.sleep(0.2)
                continue
            raise UserError(_explanation(path, str(error))) from None
    limit_memory(connection, settings or Settings(), read_only=read_only)
    if not read_only:
        try:
            _check_folder(path)
        except UserError:
            connection.close()
            raise
        remove_leftovers(path)
    return connection


def limit_memory(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    *,
    read_only: bool = False,
    folder: Path | None = None,
) -> None:
    """Set what DuckDB may use, for all connections of this process to the file.

    A connection without a file writes what does not fit into memory to `folder`.
    """
    # They are set here and not when the file is opened: DuckDB refuses a second connection whose
    # configuration differs, and what is available changes.
    for name, value in memory.options(settings, read_only=read_only).items():
        connection.execute(f"set {name} = '{value}'")
    if folder:
        quoted = str(folder).replace("'", "''")
        connection.execute(f"set temp_directory = '{quoted}'")


def temporary_folder(path: Path) -> Path:
    """The folder to which DuckDB writes what does not fit into its memory."""
    return path.with_name(f"{path.name}.tmp")


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of killed processes; the caller has the file open for writing."""
    folder = temporary_folder(path)
    if not folder.is_dir():
        return
    # Another connection of this process shares the memory and the temporary files of this one.
    ours = _open_files()
    for file in folder.glob("duckdb_temp_*"):
        with suppress(OSError):
            found = file.stat()
            if (found.st_dev, found.st_ino) not in ours:
                file.unlink()
    with suppress(OSError):
        folder.rmdir()


def _open_files() -> set[tuple[int, int]]:
    """The device and inode of each file that this process has open."""
    found = set()
    for file in Path("/dev/fd").iterdir():
        with suppress(OSError, ValueError):
            status = os.fstat(int(file.name))
            found.add((status.st_dev, status.st_ino))
    return found


def _check_folder(path: Path) -> None:
    """Raise UserError if no file can be created beside the warehouse."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(
            f"the folder {path.parent} of the warehouse is read-only, and DuckDB writes its log "
            "and its temporary files there: give this user access, or set GAME_ANALYTICS_DUCKDB "
            "to a file in another folder."
        )


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
        """Insert rows from an Arrow table: values as parameters take a second for 8,000 values."""
        import pyarrow as pa

        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            names = [f"c{number}" for number in range(len(columns))]
            self.connection.register("inserted_rows", pa.table(columns, names=names))
            try:
                self.connection.execute(f"insert into {table} select * from inserted_rows")
            finally:
                self.connection.unregister("inserted_rows")

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
