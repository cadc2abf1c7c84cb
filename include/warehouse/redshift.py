"""A connection to Redshift with the profile that dbt itself uses."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from redshift_connector.core import Connection
from redshift_connector.cursor import Cursor
from redshift_connector.error import Error

from include.engine_text import without_values
from include.manifest import PROJECT
from include.remedies import remedy
from include.settings import UserError

ROWS_PER_INSERT = 2000
"""Redshift takes statements of up to 16 MB; 2,000 partitions are about 200 kB."""


@contextmanager
def connected() -> Iterator[Redshift]:
    """Connect to the cluster of output `redshift` in `dbt/profiles.yml`, for the block.

    dbt's own code reads the profile and connects, so that password, IAM role and TLS have one place
    and one meaning. Raises UserError if the warehouse cannot be reached.
    """
    import os

    from dbt.adapters.redshift.connections import RedshiftCredentials, get_connection_method
    from dbt.config.profile import Profile, read_profile
    from dbt.config.renderer import ProfileRenderer
    from dbt_common.context import set_invocation_context

    from dbt import flags

    # The flags belong to the whole process: setting them again would take away the --full-refresh
    # of a dbt that builds in it.
    if not hasattr(flags.GLOBAL_FLAGS, "LOG_CACHE_EVENTS"):
        flags.set_from_args(Namespace(project_dir=str(PROJECT), profiles_dir=str(PROJECT)), None)
    set_invocation_context(os.environ)
    try:
        credentials = Profile.from_raw_profiles(
            *(read_profile(str(PROJECT)), "game_analytics", ProfileRenderer({})),
            target_override="redshift",
        ).credentials
        if not isinstance(credentials, RedshiftCredentials):
            raise UserError(
                "output redshift of dbt/profiles.yml has another type: set `type: redshift`."
            )
        connection = get_connection_method(credentials)()
    except Exception as error:  # noqa: BLE001
        # dbt, the driver, TLS and the network raise exceptions without a common class.
        raise UserError(_explained("the warehouse cannot be reached", error)) from None
    try:
        yield Redshift(connection)
    finally:
        connection.close()


class Redshift:
    """A `Database` on an open connection to Redshift that commits each statement by itself."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return [tuple(row) for row in self._run(sql, values).fetchall()]

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Run a statement without a result."""
        self._run(sql, values)

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert 2,000 rows per statement, because Redshift needs as long for a single row."""
        for first in range(0, len(rows), ROWS_PER_INSERT):
            tuples = ", ".join(
                f"({', '.join(map(literal, row))})" for row in rows[first : first + ROWS_PER_INSERT]
            )
            self.execute(f"insert into {table} values {tuples}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the statements of the block together, or none of them if it raises."""
        self.execute("begin")
        try:
            yield
        except BaseException:
            # If the connection is lost, Redshift rolls back by itself.
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
            what = f"Redshift refused `{' '.join(sql.split())[:100]}`"
            raise UserError(_explained(what, error, sql)) from None


def literal(value: Any) -> str:
    """The SQL literal of a text, whole number, boolean or timestamp, or of None."""
    if value is None:
        return "null"
    if isinstance(value, bool | int):
        return str(value).lower()
    text = str(value) if isinstance(value, datetime) else value.replace("\\", "\\\\")
    return "'" + text.replace("'", "''") + "'"


def _explained(what: str, error: Exception, sql: str = "") -> str:
    """One sentence of what failed, the server's message and the remedy.

    The message about a statement can quote a value of a table, so it is masked, and printed whole
    into the log.
    """
    reason = error.args[0] if error.args else ""
    if isinstance(reason, dict):
        # The driver has the fields of the server's error by their letters: message and detail.
        reason = f"{reason.get('M', '')} {reason.get('D', '').replace('---', '')}"
    message = " ".join(str(reason or error).split()).strip(".- ")
    known = remedy(message) or "repair what it names, and run again"
    if sql:
        print(f"{what}: {message}", file=sys.stderr)
        message = without_values(message, shown=sql)
    return f"{what} ({message}): {known}."
