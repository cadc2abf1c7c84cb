"""Redshift Spectrum: external schemas, tables and partitions, and scans of their files on S3.

An external table is stored as a PostgreSQL table in the schema `standin_external`. That table is
partitioned by list, with one level for each partition column and one leaf for each registered
partition. The external schema holds a view of it. Registering a partition loads no rows.
Before a statement reads an external table, the planner of PostgreSQL prunes its leaves. The files
of the remaining leaves are listed on S3 and compared with the files that were loaded before, and
only the difference is loaded.

| file | what it does |
|---|---|
| `clauses.py`, `definitions.py` | parse external DDL, and run it |
| `tables.py`, `catalog.py` | define an external table, and read definitions from the catalogue |
| `scans.py` | loads the files that a query reads |
| `listing.py`, `files.py` | list the objects on S3, and read the rows of one object |
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
    """Runs external DDL, and loads the files that a query reads.

    `connect` opens a connection of PostgreSQL's superuser, apart from the client's session.
    """

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
                # These keys stand for the cluster's role. The keys in the environment belong to
                # the client and are not used.
                aws_access_key_id="stand-in",
                aws_secret_access_key="stand-in",  # noqa: S106 - the emulator accepts any key
                config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
            )
        return self._s3

    def run(self, command: ExternalCommand, user: str) -> None:
        """Run external DDL for a user; raises Refused."""
        try:
            with self._ddl, self._transaction() as cursor:
                ACTIONS[command.action](cursor, command.match, user)
        except psycopg2.Error as error:
            raise Refused(
                error.pgcode or "XX000", (error.diag.message_primary or str(error)).strip()
            ) from None

    def is_external(self, target: str) -> bool:
        """Return whether a folded table name, or `schema:` and a schema's name, is external."""
        with self._transaction() as cursor:
            return is_external(cursor, target)

    def scan(self, table_ids: set[int], scanned: set[str], vanishes: bool) -> list[ScanOfTable]:
        """Load the new files of the scanned relations of these tables; raises Refused.

        With `vanishes`, the scan fails as if the first file had been deleted after the listing.
        """
        scans = []
        for table_id in sorted(table_ids):
            with self._locks[table_id], self._transaction() as cursor:
                table = table_by_id(cursor, table_id)
                scans.append(scan_table(cursor, self.s3, table, scanned, vanishes))
            vanishes = False
        return scans
