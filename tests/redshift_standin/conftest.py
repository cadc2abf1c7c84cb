"""Fixtures for the tests of the stand-in.

All tests share one stand-in and one S3 emulator. Every test has its own schema and bucket.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redshift_connector
from redshift_connector.error import Error

from tests.redshift_standin import Cluster, Scan, Unavailable
from tests.support import ministack


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ministack.MiniStack]:
    python = Path(os.environ.get("MINISTACK_PYTHON", ministack.PYTHON))
    try:
        with ministack.MiniStack.start(tmp_path_factory.mktemp("ministack"), python) as running:
            yield running
    except ministack.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def cluster(
    emulator: ministack.MiniStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("redshift") / "cluster"
    try:
        with Cluster.start(folder, s3_endpoint=emulator.endpoint) as running:
            os.environ["SSL_CERT_FILE"] = str(running.certificate)
            yield running
            del os.environ["SSL_CERT_FILE"]
    except Unavailable as reason:
        pytest.skip(str(reason))


class Sql:
    """A connection of redshift_connector. It commits every statement outside a transaction."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.cursor = connection.cursor()

    def __call__(self, sql: str, *parameters: object) -> list[list[Any]]:
        self.cursor.execute(sql, parameters or None)
        return [list(row) for row in self.cursor.fetchall()] if self.cursor.description else []

    def value(self, sql: str, *parameters: object) -> Any:
        ((value,),) = self(sql, *parameters)
        return value

    def error(self, sql: str, *parameters: object) -> str:
        """Return SQLSTATE, message and detail of the error that the statement must raise."""
        with pytest.raises(Error) as caught:
            self(sql, *parameters)
        fields = caught.value.args[0]
        if not isinstance(fields, dict):
            return str(fields)
        return " ".join(str(fields[key]) for key in "CMD" if key in fields)


Connect = Callable[..., Sql]


@pytest.fixture
def connect(cluster: Cluster) -> Iterator[Connect]:
    opened: list[Any] = []

    def open_one(user: str = cluster.user, password: str = cluster.password) -> Sql:
        connection = redshift_connector.connect(
            host=cluster.host,
            port=cluster.port,
            database=cluster.database,
            user=user,
            password=password,
        )
        connection.autocommit = True
        opened.append(connection)
        return Sql(connection)

    yield open_one
    for connection in opened:
        try:
            connection.close()
        except (Error, OSError):
            # An injected fault may have closed the connection already.
            continue


@pytest.fixture
def sql(connect: Connect) -> Sql:
    return connect()


@pytest.fixture
def schema(sql: Sql, request: pytest.FixtureRequest) -> Iterator[str]:
    name = re.sub(r"\W", "_", request.node.name.lower())[:40]
    sql(f"create schema {name}")
    yield name
    sql("rollback")
    sql(f"drop schema {name} cascade")


@dataclass
class Lake:
    """A bucket, and the external schema whose tables read it."""

    sql: Sql
    cluster: Cluster
    s3: Any
    bucket: str
    schema: str

    def put(self, key: str, data: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)

    def put_parquet(self, key: str, **columns: Any) -> None:
        data = io.BytesIO()
        pq.write_table(pa.table(columns), data)
        self.put(key, data.getvalue())

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def create(
        self, table: str, columns: str, rest: str = "", stored: str = "stored as parquet"
    ) -> str:
        """Create an external table and return its name.

        `rest` holds the clauses before STORED AS and those after LOCATION, separated by a bar.
        """
        before, _, after = rest.partition("|")
        name = f"{self.schema}.{table}"
        self.sql(
            f"create external table {name} ({columns}) {before} {stored} "
            f"location 's3://{self.bucket}/{table}/' {after}"
        )
        return name

    def add_days(self, table: str, *days: str) -> None:
        """Register the partitions of these days, each written as `YYYY-MM-DD`."""
        clauses = [
            f"partition (year='{year}', month='{month}', day='{day}') "
            f"location 's3://{self.bucket}/{table}/year={year}/month={month}/day={day}/'"
            for year, month, day in (d.split("-") for d in days)
        ]
        for start in range(0, len(clauses), 100):
            self.sql(
                f"alter table {self.schema}.{table} add if not exists "
                + " ".join(clauses[start : start + 100])
            )

    def scan(self, query: str) -> tuple[list[list[Any]], Scan]:
        """Return the rows of a query, and the one scan that the query made."""
        before = self.cluster.last_number()
        rows = self.sql(query)
        (scan,) = self.cluster.scans(since=before)
        return rows, scan


@pytest.fixture
def lake(
    sql: Sql, cluster: Cluster, emulator: ministack.MiniStack, request: pytest.FixtureRequest
) -> Iterator[Lake]:
    name = re.sub(r"\W", "_", request.node.name.lower())[:40]
    s3 = emulator.client("s3")
    bucket = name.replace("_", "-").strip("-")
    s3.create_bucket(Bucket=bucket)
    sql(
        f"create external schema {name}_ext from data catalog database '{name}' "
        "iam_role 'arn:aws:iam::123456789012:role/spectrum' create external database if not exists"
    )
    yield Lake(sql, cluster, s3, bucket, f"{name}_ext")
    sql("rollback")
    sql(f"drop schema {name}_ext")
