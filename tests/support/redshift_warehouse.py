"""A warehouse on the stand-in for Redshift, with the methods of the warehouse on DuckDB."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.settings import Settings
from include.warehouse.database import Database
from tests.support.warehouse import Warehouse

KINDS = {
    "character varying": "text",
    "varchar": "text",
    "text": "text",
    "timestamp without time zone": "timestamp",
    "double precision": "double",
}
"""One common name for each type that has different names on the two engines."""
SCHEMAS = ("reference", "snapshots", "intermediate", "marts")
"""The schemas whose tables are compared. Schema `staging` differs: Spectrum cuts a long text."""


class Bucket:
    """A prefix in S3 that mirrors a local lake; `client` is boto3's."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self.client = client
        self.bucket = bucket
        self.prefix = prefix
        self.known: dict[str, str] = {}

    @property
    def uri(self) -> str:
        """The value of the setting LAKE."""
        return f"s3://{self.bucket}/{self.prefix}"

    def mirror(self, lake: Path) -> None:
        """Upload new and changed files, and remove those that the lake no longer has."""
        there = {}
        for path in sorted(lake.rglob("*")):
            name = path.relative_to(lake).as_posix()
            if path.is_file() and not name.startswith(("_", "ledger_rows/")):
                there[name] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for name, digest in there.items():
            if self.known.get(name) != digest:
                self.put(name, (lake / name).read_bytes())
        for name in set(self.known) - set(there):
            self.remove(name)
        self.known = there

    def put(self, name: str, content: bytes) -> None:
        """Write an object by its name below the prefix."""
        self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}", Body=content)

    def remove(self, name: str) -> None:
        """Remove an object."""
        self.client.delete_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")


class RedshiftWarehouse(Warehouse):
    """Schemas of one prefix on the stand-in, over a mirrored lake."""

    def __init__(self, bucket: Bucket, login: Mapping[str, str], **settings: str) -> None:
        """`login` are the variables that `dbt/profiles.yml` and boto3 read."""
        given = {"lake": bucket.uri, "target": "redshift", **settings}
        self.settings = Settings.from_env(
            {f"GAME_ANALYTICS_{name.upper()}": value for name, value in given.items()}
        )
        self.bucket = bucket
        self.login = dict(login)
        self.compiled: dict[str, str] = {}

    @property
    def variables(self) -> dict[str, str]:
        """The settings, and the way to the cluster and to S3."""
        return {**self.settings.as_environment(), **self.login}

    @property
    def variables_of_parse(self) -> dict[str, str]:
        """The same; where the lake lies is nothing to dbt."""
        return self.variables | {"GAME_ANALYTICS_LAKE": "s3://any/where"}


Columns = dict[str, str]


def described(database: Database, prefix: str) -> dict[str, Columns]:
    """The columns of every table, with their types, by the table's name without the prefix."""
    found: dict[str, Columns] = {}
    for schema in SCHEMAS:
        for table, column, kind, precision, scale in database.rows(
            "select table_name, column_name, data_type, numeric_precision, numeric_scale "
            "from information_schema.columns where table_schema = ? "
            "and table_name in (select table_name from information_schema.tables "
            "where table_schema = ? and table_type = 'BASE TABLE') "
            "order by table_name, ordinal_position",
            [f"{prefix}{schema}", f"{prefix}{schema}"],
        ):
            # When a snapshot saw a row is the one thing that no two builds share.
            if column.startswith("dbt_"):
                continue
            name = kind.lower()
            if name.startswith(("decimal", "numeric")):
                name = f"decimal({precision},{scale})"
            found.setdefault(f"{schema}.{table}", {})[column] = KINDS.get(name, name)
    return found


def contents(
    database: Database, prefix: str, columns: Mapping[str, Columns]
) -> dict[str, list[str]]:
    """All rows of every table, in any order but sorted, each as its values' own words.

    Decimals keep their digits that way, and null differs from empty text.
    """
    rows = {}
    for table, names in columns.items():
        listed = ", ".join(f'"{name}"' for name in names)
        rows[table] = sorted(
            repr(row) for row in database.rows(f"select {listed} from {prefix}{table}")
        )
    return rows
