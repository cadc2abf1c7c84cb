"""The warehouse as the steps around dbt use it: the same few statements on both engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from include.settings import Settings

Row = tuple[Any, ...]


class Database(Protocol):
    """An open connection; a statement that fails for a reason the user can mend is a UserError.

    Statements outside `transaction` commit by themselves. `?` stands for a value.
    """

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        """A statement that returns nothing."""

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows of text, whole numbers and timestamps, in few statements."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing of the statements within."""


@contextmanager
def open_database(
    settings: Settings, *, patience: float = 30, read_only: bool = False
) -> Iterator[Database]:
    """The warehouse of the settings, closed at the end.

    `patience` is for how many seconds another process that holds the DuckDB file is waited out.
    Raises UserError if it cannot be reached.
    """
    if settings.target == "local":
        from include.warehouse.duckdb_file import DuckDB, connect

        with connect(settings.duckdb_path, patience, read_only=read_only) as connection:
            yield DuckDB(connection)
    else:
        from include.warehouse import redshift

        with redshift.connected() as database:
            yield database
