"""A connection to the warehouse for the steps before and after dbt, alike on both engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from include.settings import Settings

Row = tuple[Any, ...]


class Database(Protocol):
    """An open connection to the warehouse.

    In SQL, `?` stands for a value. A statement outside a `transaction` commits by itself. Raises
    UserError if Redshift refuses a statement, and duckdb.Error if DuckDB does.
    """

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Run a statement without a result."""

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows of texts, whole numbers, booleans and timestamps with few statements."""

    def transaction(self) -> AbstractContextManager[None]:
        """Commit the statements of the block together, or none of them if it raises."""


@contextmanager
def open_database(
    settings: Settings, *, timeout_seconds: float = 30, read_only: bool = False
) -> Iterator[Database]:
    """Connect to the warehouse of the settings, and close the connection after the block.

    If another process has opened the DuckDB file, this waits for it for `timeout_seconds`. Raises
    UserError if the warehouse cannot be reached.
    """
    if settings.target == "local":
        from include.warehouse.duckdb_file import DuckDB, connect

        with connect(
            settings.duckdb_path, timeout_seconds, read_only=read_only, settings=settings
        ) as connection:
            yield DuckDB(connection)
    else:
        from include.warehouse import redshift

        with redshift.connected() as database:
            yield database
