"""The running statements, and the log of ended statements in files and in log views."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.redshift_standin.control import Control, Query, Scan
from tests.redshift_standin.refusals import Refused


def now() -> datetime:
    """Return the UTC time without a time zone, as the log views show it."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass
class Running:
    """A statement that is running."""

    number: int
    source: str
    kind: str = "OTHER"
    started: float = field(default_factory=time.monotonic)
    began: datetime = field(default_factory=now)
    tag: str | None = None
    sets_query_group: str | None = None
    commits: bool = False
    rows: int = 0
    is_logged: bool = True
    scans: list[Scan] = field(default_factory=list)


@dataclass(frozen=True)
class Ended:
    """A statement that has ended.

    `how` is the `ended` of `control.Query`, and `process` is the process of the session.
    """

    running: Running
    how: str
    error: Refused | None
    process: int
    user: str
    query_group: str | None
    finished: datetime = field(default_factory=now)


class History:
    """The log of all sessions. `connect` connects PostgreSQL's superuser to `database`."""

    def __init__(self, control: Control, database: str, connect: Callable[[], Any]) -> None:
        self._control = control
        self._database = database
        self._connect = connect
        self._number = 0
        self._unwritten: list[Ended] = []

    def begin(self, source: str) -> Running:
        self._number += 1
        return Running(self._number, source)

    def record(self, ended: Ended) -> None:
        running, error = ended.running, ended.error
        for scan in running.scans:
            self._control.log(scan)
        self._unwritten.append(ended)
        self._control.log(
            Query(
                running.number,
                ended.user,
                ended.query_group,
                running.source,
                ended.how,
                round(time.monotonic() - running.started, 4),
                error.sqlstate if error else None,
                error.message if error else None,
            )
        )

    def flush(self) -> None:
        """Write the ended statements to the tables of the log views.

        A session calls this before a statement that reads a log view.
        """
        unwritten, self._unwritten = self._unwritten, []
        if not unwritten:
            return
        connection = self._connect()
        with contextlib.closing(connection), connection, connection.cursor() as cursor:
            for ended in unwritten:
                self._insert_query(cursor, ended)
                for scan in ended.running.scans:
                    _insert_scan(cursor, ended, scan)

    def _insert_query(self, cursor: Any, ended: Ended) -> None:
        running, error = ended.running, ended.error
        cursor.execute(
            f"insert into standin.query_history values ({USER_ID}, %s, %s, %s, %s, %s, %s, %s, "
            "false, %s, %s, %s, %s, %s, %s)",
            (
                ended.user,
                running.number,
                ended.query_group or "default",
                running.number,
                ended.process,
                self._database,
                running.kind,
                ended.how if ended.how in ("success", "canceled") else "failed",
                running.began,
                ended.finished,
                error.message if error else None,
                running.rows,
                running.source,
                ended.user,
            ),
        )


USER_ID = "(select usesysid from pg_user where usename = %s)"


def _insert_scan(cursor: Any, ended: Ended, scan: Scan) -> None:
    schema, _, table = scan.table.partition(".")
    cursor.execute(
        f"insert into standin.external_scans values ({USER_ID}, %s, %s, %s, %s, %s, %s, %s, %s, "
        "%s, %s, %s, %s, %s)",
        (
            ended.user,
            scan.query,
            scan.query,
            schema,
            table,
            scan.total_partitions,
            len(scan.partitions),
            len(scan.files),
            scan.rows,
            scan.bytes,
            scan.format,
            scan.files[0] if scan.files else None,
            ended.running.began,
            ended.finished,
        ),
    )
