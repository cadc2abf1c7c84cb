"""Reaching Redshift from dbt's environment, by the same profile that dbt itself uses."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from redshift_connector.core import Connection
from redshift_connector.cursor import Cursor
from redshift_connector.error import Error

from include.manifest import PROJECT
from include.remedies import remedy
from include.settings import UserError

ROWS_PER_INSERT = 2000
"""A statement may have 16 MB; 2,000 partitions take about 200 kB."""


@contextmanager
def connected() -> Iterator[Redshift]:
    """The cluster of output `redshift` in `dbt/profiles.yml`; raises UserError.

    By dbt's own hands: passwords, IAM roles and TLS are set in one place, and mean the same.
    """
    import os

    from dbt.adapters.redshift.connections import RedshiftCredentials, get_connection_method
    from dbt.config.profile import Profile, read_profile
    from dbt.config.renderer import ProfileRenderer
    from dbt_common.context import set_invocation_context

    from dbt import flags

    # They are the whole process's: a dbt that builds meanwhile would forget its --full-refresh.
    if not hasattr(flags.GLOBAL_FLAGS, "LOG_CACHE_EVENTS"):
        flags.set_from_args(Namespace(project_dir=str(PROJECT), profiles_dir=str(PROJECT)), None)
    set_invocation_context(os.environ)
    try:
        credentials = Profile.from_raw_profiles(
            *(read_profile(str(PROJECT)), "game_analytics", ProfileRenderer({})),
            target_override="redshift",
        ).credentials
        if not isinstance(credentials, RedshiftCredentials):
            raise UserError("output redshift of dbt/profiles.yml is of another type: mend it.")
        connection = get_connection_method(credentials)()
    except Exception as error:  # noqa: BLE001
        # dbt, the driver, TLS and the network each have exceptions of their own.
        raise UserError(_explained("the warehouse cannot be reached", error)) from None
    try:
        yield Redshift(connection)
    finally:
        connection.close()


class Redshift:
    """A `Database` on an open connection to Redshift, which commits each statement by itself."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return [tuple(row) for row in self._run(sql, values).fetchall()]

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        """A statement that returns nothing."""
        self._run(sql, values)

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, 2,000 in a statement: Redshift takes as long for one."""
        for first in range(0, len(rows), ROWS_PER_INSERT):
            given = ", ".join(
                f"({', '.join(map(literal, row))})" for row in rows[first : first + ROWS_PER_INSERT]
            )
            self.execute(f"insert into {table} values {given}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of the statements within."""
        self.execute("begin")
        try:
            yield
        except BaseException:
            # On a connection that is lost nothing can be rolled back, and nothing was written.
            with suppress(UserError):
                self.execute("rollback")
            raise
        self.execute("commit")

    def _run(self, sql: str, values: Sequence[Any]) -> Cursor:
        cursor = self.connection.cursor()
        cursor.paramstyle = "qmark"
        try:
            return cursor.execute(sql, tuple(values) or None)
        except Error as error:
            said = _explained(f"Redshift refused `{' '.join(sql.split())[:100]}`", error)
            raise UserError(said) from None


def literal(value: Any) -> str:
    """Text, a whole number, a timestamp, a boolean or None as Redshift reads it in a statement."""
    if value is None:
        return "null"
    if isinstance(value, bool | int):
        return str(value).lower()
    text = str(value) if isinstance(value, datetime) else value.replace("\\", "\\\\")
    return "'" + text.replace("'", "''") + "'"


def _explained(what: str, error: Exception) -> str:
    """What failed, the server's own words, and the remedy."""
    said = error.args[0] if error.args else ""
    if isinstance(said, dict):
        # The driver gives the fields of the server's message by their letters; D is the detail.
        said = f"{said.get('M', '')} {said.get('D', '').replace('---', '')}"
    message = " ".join(str(said or error).split()).strip(".- ")
    return f"{what} ({message}): {remedy(message) or 'mend what it names, and run again'}."
