"""Redshift Spectrum: external schemas, tables and partitions, and scans of their files on S3.

An external table is a PostgreSQL table in `standin_external`, partitioned by list, one level for
each partition column, with a leaf for every registered partition; in the external schema it is a
view. Registering loads nothing. Before a statement that reads the table, the leaves that
PostgreSQL's planner did not prune away are brought up to date with S3: listed, compared with what
was loaded, and the difference loaded.

| file | does |
|---|---|
| `clauses.py`, `definitions.py` | external DDL: read, and done |
| `tables.py`, `catalog.py` | what an external table is, and where that is kept |
| `scans.py` | brings what a query reads up to date |
| `listing.py`, `files.py` | objects on S3, and the rows in one |
"""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import psycopg2
import psycopg2.extensions
from botocore.config import Config

from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.spectrum.catalog import is_external, table_by_id
from tests.redshift_standin.spectrum.definitions import ACTIONS
from tests.redshift_standin.spectrum.scans import ScanOfTable, relations_in_plan, scan_table
from tests.redshift_standin.statements import ExternalCommand

__all__ = ["ScanOfTable", "Spectrum", "relations_in_plan"]


class Spectrum:
    """`connect` opens a connection of the superuser, which the client's session never sees."""

    def __init__(
        self, connect: Callable[[], psycopg2.extensions.connection], s3_endpoint: str | None
    ) -> None:
        self._connect = connect
        self._s3_endpoint = s3_endpoint
        self._s3: Any = None
        self._locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._ddl = threading.Lock()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[psycopg2.extensions.cursor]:
        connection = self._connect()
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("set lock_timeout = '60s'")
                yield cursor
        finally:
            connection.close()

    @property
    def s3(self) -> Any:
        if self._s3 is None:
            self._s3 = boto3.session.Session().client(
                "s3",
                endpoint_url=self._s3_endpoint,
                region_name="us-east-1",
                # The cluster's role, not the client's: nothing is taken from the environment.
                aws_access_key_id="stand-in",
                aws_secret_access_key="stand-in",  # noqa: S106 - an emulator's
                config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
            )
        return self._s3

    def run(self, command: ExternalCommand, user: str) -> None:
        """External DDL; raises Refused."""
        try:
            with self._ddl, self._transaction() as cursor:
                ACTIONS[command.action](cursor, command.match, user)
        except psycopg2.Error as error:
            raise Refused(
                error.pgcode or "XX000", (error.diag.message_primary or str(error)).strip()
            ) from None

    def is_external(self, target: str) -> bool:
        """Whether a folded name (or `schema:` and a schema's) is an external one."""
        with self._transaction() as cursor:
            return is_external(cursor, target)

    def scan(self, table_ids: set[int], scanned: set[str], vanishes: bool) -> list[ScanOfTable]:
        """Brings the scanned relations of these tables up to date with S3; raises Refused.

        If the first file `vanishes`, it is as if it had been deleted after the listing.
        """
        scans = []
        for table_id in sorted(table_ids):
            with self._locks[table_id], self._transaction() as cursor:
                table = table_by_id(cursor, table_id)
                scans.append(scan_table(cursor, self.s3, table, scanned, vanishes))
            vanishes = False
        return scans
