"""Redshift Spectrum: external schemas, tables and partitions, and scans of their files on S3.

An external table is a PostgreSQL table in `standin_external`, partitioned by list, one level for
each partition column, with a leaf for every registered partition; in the external schema it is a
view. Registering loads nothing. Before a statement that reads the table, the leaves that
PostgreSQL's planner did not prune away are brought up to date with S3: listed, compared with what
was loaded, and the difference loaded.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import psycopg2
import psycopg2.extensions
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.redshift_standin.expressions import quoted
from tests.redshift_standin.external_files import Column, FileFormat, read_file, scan_error
from tests.redshift_standin.refusals import Refused, syntax_error, unsupported_here
from tests.redshift_standin.statements import (
    FLAGS,
    PART,
    ExternalCommand,
    closing_parenthesis,
    column_type,
    parts_of,
    split_list,
)

HIDDEN = re.compile(r"^[._#]|~$")
FORMATS = {
    "parquet": FileFormat.PARQUET,
    "org.apache.hadoop.hive.serde2.opencsvserde": FileFormat.CSV,
    "org.openx.data.jsonserde.jsonserde": FileFormat.JSON,
}


@dataclass(frozen=True)
class ExternalTable:
    id: int
    schema: str
    name: str
    location: str
    format: FileFormat
    serde_properties: dict[str, str]
    properties: dict[str, str]
    columns: list[Column]
    partition_columns: list[Column]

    @property
    def root(self) -> str:
        return f"e{self.id}"

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Object:
    key: str
    etag: str
    size: int


@dataclass
class ScanOfTable:
    table: str
    format: str
    total_partitions: int
    partitions: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    bytes: int = 0
    rows: int = 0


def relations_in_plan(plan: Any) -> set[str]:
    """The names of the tables that EXPLAIN (FORMAT JSON) scans."""
    found: set[str] = set()
    if isinstance(plan, dict):
        name = plan.get("Relation Name")
        if isinstance(name, str):
            found.add(name)
        for value in plan.values():
            found |= relations_in_plan(value)
    elif isinstance(plan, list):
        for value in plan:
            found |= relations_in_plan(value)
    return found


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

    # Definitions
    # ------------------------------------------------------------------------------------

    def run(self, command: ExternalCommand, user: str) -> None:
        """External DDL; raises Refused."""
        actions: dict[str, Callable[[Any, dict[str, Any], str], None]] = {
            "create_schema": self._create_schema,
            "drop_schema": self._drop_schema,
            "create_table": self._create_table,
            "drop_table": self._drop_table,
            "add_partitions": self._add_partitions,
            "drop_partition": self._drop_partition,
            "alter_table": self._alter_table,
            "alter_columns": self._alter_columns,
            "grant": self._grant,
        }
        try:
            with self._ddl, self._transaction() as cursor:
                actions[command.action](cursor, command.match, user)
        except psycopg2.Error as error:
            raise Refused(
                error.pgcode or "XX000", (error.diag.message_primary or str(error)).strip()
            ) from None

    @staticmethod
    def _grant(_: Any, given: dict[str, Any], __: str) -> None:
        name = ".".join(parts_of(given["name"])[-2:])
        raise Refused(
            "0A000",
            f'Operation not supported on external table "{name}": grant usage on its schema',
        )

    def _create_schema(self, cursor: Any, given: dict[str, Any], user: str) -> None:
        name, rest = parts_of(given["name"])[0], given["rest"]
        if not re.match(r"data\s+catalog\b", rest, FLAGS):
            raise unsupported_here("external schemas other than FROM DATA CATALOG")
        database = re.search(r"\bdatabase\s+'([^']+)'", rest, FLAGS)
        role = re.search(r"\biam_role\s+(?:'([^']+)'|(default))", rest, FLAGS)
        if not database or not role:
            raise syntax_error("end of input")
        if role[1] and not re.match(r"arn:aws[\w-]*:iam::\d{12}:role/|default$|SESSION$", role[1]):
            raise Refused("XX000", f"The IAM role {role[1]} is not valid.")
        cursor.execute("select 1 from pg_namespace where nspname = %s", (name,))
        if cursor.fetchone():
            if given["exists"]:
                return
            raise Refused("42P06", f'Schema "{name}" already exists')
        cursor.execute("select has_database_privilege(%s, current_database(), 'create')", (user,))
        if not cursor.fetchone()[0]:
            raise Refused("42501", "permission denied for database")
        options = json.dumps({"IAM_ROLE": role[1] or "default"})
        cursor.execute(f"create schema {quoted(name)} authorization {quoted(user)}")
        cursor.execute(
            "insert into standin.external_schemas values (%s, %s, %s, %s, %s)",
            (name, database[1].lower(), role[1] or "default", options, user),
        )

    def _drop_schema(self, cursor: Any, given: dict[str, Any], user: str) -> None:
        for name in given["names"]:
            self._check_owner(cursor, name, user)
            cursor.execute(
                "select table_name from standin.external_tables where schema_name = %s", (name,)
            )
            # The tables live in the Glue catalog: the schema goes whether it has some or not.
            for (table,) in cursor.fetchall():
                self._remove(cursor, self._table(cursor, name, table))
            cursor.execute("delete from standin.external_schemas where name = %s", (name,))
            cursor.execute(f"drop schema {quoted(name)} cascade")

    def _create_table(self, cursor: Any, given: dict[str, Any], user: str) -> None:
        schema, name = self._names(given["name"])
        self._check_owner(cursor, schema, user)
        definition = parse_definition(given["rest"])
        cursor.execute(
            "select 1 from standin.external_tables where (schema_name, table_name) = (%s, %s)",
            (schema, name),
        )
        if cursor.fetchone():
            raise Refused("42P07", f'Relation "{name}" already exists in {schema}')
        cursor.execute(
            "insert into standin.external_tables (schema_name, table_name, location, "
            "input_format, serde, columns, "
            "partition_columns, serde_properties, properties) values (%s, %s, %s, %s, %s, %s, "
            "%s, %s, %s)",
            (
                schema,
                name,
                definition.location,
                definition.format.input_format,
                definition.format.serde,
                json.dumps([c.as_json() for c in definition.columns]),
                json.dumps([c.as_json() for c in definition.partition_columns]),
                json.dumps(definition.serde_properties),
                json.dumps(definition.properties),
            ),
        )
        table = self._table(cursor, schema, name)
        columns = ", ".join(
            f"{quoted(c.name)} {c.postgres_type}"
            for c in [*table.columns, *table.partition_columns]
        )
        by = (
            f" partition by list ({quoted(table.partition_columns[0].name)})"
            if table.partition_columns
            else ""
        )
        cursor.execute(
            f'create table standin_external.{table.root} ({columns}, "$path" varchar, "$size" '
            f"bigint){by}"
        )
        self._create_views(cursor, table)

    def _create_views(self, cursor: Any, table: ExternalTable) -> None:
        columns = ", ".join(quoted(c.name) for c in [*table.columns, *table.partition_columns])
        for name, listed in (
            (table.name, columns),
            (f"{table.name}$", f'{columns}, "$path", "$size"'),
        ):
            view = f"{quoted(table.schema)}.{quoted(name)}"
            cursor.execute(f"drop view if exists {view} cascade")
            cursor.execute(
                f"create view {view} as select {listed} from standin_external.{table.root}"
            )
            # USAGE on the schema is what Redshift asks for.
            cursor.execute(f"grant select on {view} to public")

    def _remove(self, cursor: Any, table: ExternalTable) -> None:
        for name in (table.name, f"{table.name}$"):
            cursor.execute(f"drop view if exists {quoted(table.schema)}.{quoted(name)} cascade")
        cursor.execute(f"drop table if exists standin_external.{table.root} cascade")
        cursor.execute(
            "delete from standin.external_files where relation = %s or relation in "
            "(select relation from standin.external_partitions where table_id = %s)",
            (table.root, table.id),
        )
        cursor.execute("delete from standin.external_tables where id = %s", (table.id,))

    def _drop_table(self, cursor: Any, given: dict[str, Any], user: str) -> None:
        schema, name = self._names(given["name"])
        self._check_owner(cursor, schema, user)
        self._remove(cursor, self._table(cursor, schema, name))

    def _add_partitions(self, cursor: Any, given: dict[str, Any], user: str) -> None:
        table = self._table_to_alter(cursor, given["name"], user)
        wanted = list(partition_clauses(given["partitions"], with_location=True))
        if len(wanted) > 100:
            raise Refused(
                "0A000",
                "A maximum of 100 partitions can be added by a single ALTER TABLE statement",
            )
        cursor.execute(
            "select partition_values from standin.external_partitions where table_id = %s",
            (table.id,),
        )
        registered = {tuple(values) for (values,) in cursor.fetchall()}
        new: dict[tuple[str, ...], str] = {}
        for keys, location in wanted:
            values = tuple(partition_values(table, keys))
            if values not in registered and values not in new:
                new[values] = location
            elif not given["exists"]:
                raise Refused("42710", "Partition already exists.")
        if new:
            self._attach(cursor, table, new)

    def _attach(
        self, cursor: Any, table: ExternalTable, locations: Mapping[tuple[str, ...], str]
    ) -> None:
        """A leaf for each, and the levels above it that are missing.

        With ATTACH, for CREATE TABLE ... PARTITION OF would wait for every reader of the table.
        """
        cursor.execute(
            "select relname from pg_class where relnamespace = 'standin_external'::regnamespace "
            "and starts_with(relname, %s)",
            (f"{table.root}_n",),
        )
        existing = {name for (name,) in cursor.fetchall()}
        statements = []
        for values, location in locations.items():
            cursor.execute(
                "insert into standin.external_partitions (table_id, partition_values, location, "
                "relation) select %s, %s::text[], %s, %s || number from "
                "nextval('standin.external_leaves') as number returning relation",
                (table.id, list(values), location, f"{table.root}_p"),
            )
            (leaf,) = cursor.fetchone()
            parent = table.root
            for level, value in enumerate(values):
                is_leaf = level == len(values) - 1
                child, by = leaf, ""
                if not is_leaf:
                    path = json.dumps(values[: level + 1]).encode()
                    child = f"{table.root}_n{hashlib.md5(path, usedforsecurity=False).hexdigest()}"
                    by = f" partition by list ({quoted(table.partition_columns[level + 1].name)})"
                if child not in existing:
                    existing.add(child)
                    attach = cursor.mogrify("values in (%s)", (value,)).decode()
                    statements.append(
                        f"create table standin_external.{child} "
                        f"(like standin_external.{table.root}){by}; "
                        f"alter table standin_external.{parent} "
                        f"attach partition standin_external.{child} for {attach}"
                    )
                parent = child
        cursor.execute(";\n".join(statements))

    def _drop_partition(self, cursor: Any, given: dict[str, Any], user: str) -> None:
        table = self._table_to_alter(cursor, given["name"], user)
        wanted = list(partition_clauses(given["partitions"], with_location=False))
        if len(wanted) != 1:
            raise syntax_error(",")
        values = partition_values(table, wanted[0][0])
        cursor.execute(
            (
                "delete from standin.external_partitions where table_id = %s and partition_values "
                "= %s::text[] returning relation"
            ),
            (table.id, values),
        )
        row = cursor.fetchone()
        if row is None:
            raise Refused("42704", "Partition does not exist.")
        cursor.execute("delete from standin.external_files where relation = %s", row)
        cursor.execute(f"drop table standin_external.{row[0]}")

    def _alter_table(self, cursor: Any, given: dict[str, Any], user: str) -> None:
        table = self._table_to_alter(cursor, given["name"], user)
        if given.get("location") is not None and given.get("partition"):
            keys, _ = next(iter(partition_clauses(given["partition"], with_location=False)))
            cursor.execute(
                (
                    "update standin.external_partitions set location = %s where table_id = %s and "
                    "partition_values = %s::text[]"
                ),
                (given["location"], table.id, partition_values(table, keys)),
            )
            if not cursor.rowcount:
                raise Refused("42704", "Partition does not exist.")
        elif given.get("location") is not None:
            cursor.execute(
                "update standin.external_tables set location = %s where id = %s",
                (given["location"], table.id),
            )
        elif given.get("properties"):
            new = table.properties | pairs_of(given["properties"])
            cursor.execute(
                "update standin.external_tables set properties = %s where id = %s",
                (json.dumps(new), table.id),
            )
            self._forget(cursor, table)
        else:
            raise unsupported_here("ALTER TABLE ... SET FILE FORMAT")

    def _alter_columns(self, cursor: Any, given: dict[str, Any], user: str) -> None:
        table = self._table_to_alter(cursor, given["name"], user)
        columns = list(table.columns)
        if given["action"].lower() == "add":
            column = parse_column(given["column"])
            if any(c.name == column.name for c in [*columns, *table.partition_columns]):
                raise Refused(
                    "42701", f'column "{column.name}" of relation "{table.name}" already exists'
                )
            columns.append(column)
            change = f"add column {quoted(column.name)} {column.postgres_type}"
        else:
            name = parts_of(given["column"])[0]
            if name in {c.name for c in table.partition_columns}:
                raise Refused("0A000", "Cannot drop a partition column")
            columns = [c for c in columns if c.name != name]
            if len(columns) == len(table.columns):
                raise Refused("42703", f'column "{name}" of relation "{table.name}" does not exist')
            change = f"drop column {quoted(name)}"
        for view in (table.name, f"{table.name}$"):
            cursor.execute(f"drop view {quoted(table.schema)}.{quoted(view)} cascade")
        cursor.execute(f"alter table standin_external.{table.root} {change}")
        cursor.execute(
            "update standin.external_tables set columns = %s where id = %s",
            (json.dumps([c.as_json() for c in columns]), table.id),
        )
        self._create_views(cursor, self._table(cursor, table.schema, table.name))
        self._forget(cursor, table)

    def _forget(self, cursor: Any, table: ExternalTable) -> None:
        """What was loaded was read under another definition."""
        cursor.execute(f"delete from standin_external.{table.root}")
        cursor.execute(
            "delete from standin.external_files where relation = %s or relation in "
            "(select relation from standin.external_partitions where table_id = %s)",
            (table.root, table.id),
        )

    def _names(self, name: str) -> tuple[str, str]:
        parts = parts_of(name)
        if len(parts) < 2:
            raise Refused("42601", "External table must be created in an external schema")
        return parts[-2], parts[-1]

    def _table_to_alter(self, cursor: Any, name: str, user: str) -> ExternalTable:
        schema, table = self._names(name)
        self._check_owner(cursor, schema, user)
        return self._table(cursor, schema, table)

    def _check_owner(self, cursor: Any, schema: str, user: str) -> None:
        cursor.execute("select 1 from standin.external_schemas where name = %s", (schema,))
        if not cursor.fetchone():
            raise Refused("3F000", f'External schema "{schema}" does not exist')
        cursor.execute("select has_schema_privilege(%s, %s, 'create')", (user, schema))
        if not cursor.fetchone()[0]:
            raise Refused("42501", f"permission denied for schema {schema}")

    def _table(self, cursor: Any, schema: str, name: str) -> ExternalTable:
        cursor.execute(
            "select id from standin.external_tables where (schema_name, table_name) = (%s, %s)",
            (schema, name),
        )
        row = cursor.fetchone()
        if row is None:
            raise Refused("42P01", f'relation "{schema}.{name}" does not exist')
        return self._table_of(cursor, row[0])

    def _table_of(self, cursor: Any, table_id: int) -> ExternalTable:
        cursor.execute(
            "select id, schema_name, table_name, location, serde, serde_properties, "
            "properties, columns, partition_columns "
            "from standin.external_tables where id = %s",
            (table_id,),
        )
        row = cursor.fetchone()
        if row is None:
            raise Refused("42P01", "relation does not exist")
        number, schema, name, location, serde, serde_properties, properties, columns, partitions = (
            row
        )
        return ExternalTable(
            number,
            schema,
            name,
            location,
            next(f for f in FileFormat if f.serde == serde),
            serde_properties,
            properties,
            [Column(c["name"], c["type"]) for c in columns],
            [Column(c["name"], c["type"]) for c in partitions],
        )

    def is_external(self, target: str) -> bool:
        """Whether a folded name (or `schema:` and a schema's) is an external one."""
        with self._transaction() as cursor:
            if target.startswith("schema:"):
                cursor.execute(
                    "select 1 from standin.external_schemas where name = %s", (target[7:],)
                )
            else:
                parts = parts_of(target)
                if len(parts) < 2:
                    return False
                cursor.execute(
                    (
                        "select 1 from standin.external_tables where (schema_name, table_name) = "
                        "(%s, %s)"
                    ),
                    (parts[-2], parts[-1]),
                )
            return cursor.fetchone() is not None

    # Scans
    # ------------------------------------------------------------------------------------------

    def scan(self, table_ids: set[int], scanned: set[str], vanishes: bool) -> list[ScanOfTable]:
        """Brings the scanned relations of these tables up to date with S3; raises Refused."""
        scans = []
        for table_id in sorted(table_ids):
            with self._locks[table_id], self._transaction() as cursor:
                scans.append(
                    self._scan_table(cursor, self._table_of(cursor, table_id), scanned, vanishes)
                )
            vanishes = False
        return scans

    def _scan_table(
        self, cursor: Any, table: ExternalTable, scanned: set[str], vanishes: bool
    ) -> ScanOfTable:
        scan = ScanOfTable(table.full_name, table.format.name.lower(), 0)
        if table.partition_columns:
            cursor.execute(
                (
                    "select relation, partition_values, location from standin.external_partitions "
                    "where table_id = %s order by 2"
                ),
                (table.id,),
            )
            registered = cursor.fetchall()
            scan.total_partitions = len(registered)
            qualified = [row for row in registered if row[0] in scanned]
        else:
            qualified = [(table.root, [], table.location)] if table.root in scanned else []
        names = [column.name for column in table.partition_columns]
        scan.partitions = [
            "/".join(f"{n}={v}" for n, v in zip(names, values, strict=True))
            for _, values, _ in qualified
        ]
        if not qualified:
            return scan

        listed = self._list({location for _, _, location in qualified})
        cursor.execute(
            (
                "select relation, key, etag, size, rows from standin.external_files where "
                "relation = any(%s)"
            ),
            ([relation for relation, _, _ in qualified],),
        )
        loaded: dict[str, dict[str, tuple[Object, int]]] = defaultdict(dict)
        for relation, key, etag, size, rows in cursor.fetchall():
            loaded[relation][key] = (Object(key, etag, size), rows)

        for relation, values, location in qualified:
            objects = listed[location]
            if vanishes and objects:
                raise scan_error(
                    15001,
                    f"Failed to read {uri_of(location, objects[0].key)}: Error: HTTP response "
                    f"error code: 404 "
                    "Message: NoSuchKey The specified key does not exist.",
                )
            before = loaded[relation]
            kept = {o.key for o in objects if o.key in before and before[o.key][0] == o}
            gone = set(before) - kept
            if gone:
                cursor.execute(
                    f'delete from standin_external.{relation} where "$path" = any(%s)',
                    ([uri_of(location, key) for key in gone],),
                )
                cursor.execute(
                    "delete from standin.external_files where relation = %s and key = any(%s)",
                    (relation, list(gone)),
                )
            for item in objects:
                if item.key in kept:
                    rows = before[item.key][1]
                else:
                    rows = self._load(cursor, table, relation, values, location, item)
                scan.rows += rows
                scan.bytes += item.size
                scan.files.append(uri_of(location, item.key))
        return scan

    def _list(self, locations: set[str]) -> dict[str, list[Object]]:
        """The objects under each location; one listing for many locations below a common prefix."""
        found: dict[str, list[Object]] = {location: [] for location in locations}
        by_bucket: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for location in locations:
            bucket, prefix = prefix_of(location)
            by_bucket[bucket][prefix].append(location)
        for bucket, prefixes in by_bucket.items():
            starts = [_common_folder(sorted(prefixes))] if len(prefixes) > 8 else list(prefixes)
            for start in starts:
                for item in self._objects(bucket, start):
                    folders = _folders_of(item.key) if len(prefixes) > 8 else [start]
                    for prefix in folders:
                        if prefix in prefixes and _is_visible(item.key[len(prefix) :]):
                            for location in prefixes[prefix]:
                                found[location].append(item)
        return found

    def _objects(self, bucket: str, prefix: str) -> Iterator[Object]:
        try:
            for page in self.s3.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix
            ):
                for item in page.get("Contents", []):
                    # A folder's marker and an empty file hold no row.
                    if item["Size"] and not item["Key"].endswith("/"):
                        yield Object(item["Key"], item["ETag"], item["Size"])
        except ClientError as error:
            raise self._service_error(error) from None

    def _service_error(self, error: ClientError) -> Refused:
        code, message = error.response["Error"].get("Code"), error.response["Error"].get("Message")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return scan_error(15001, f"S3ServiceException:{message},Status {status},Error {code}")

    def _load(
        self,
        cursor: Any,
        table: ExternalTable,
        relation: str,
        values: list[str],
        location: str,
        item: Object,
    ) -> int:
        bucket, _ = prefix_of(location)
        path = uri_of(location, item.key)
        try:
            data = self.s3.get_object(Bucket=bucket, Key=item.key, IfMatch=item.etag)["Body"].read()
        except ClientError as error:
            raise self._service_error(error) from None
        if item.key.endswith(".gz"):
            data = gzip.decompress(data)
        fixed = {
            **dict(zip((c.name for c in table.partition_columns), values, strict=True)),
            "$path": path,
            "$size": str(item.size),
        }
        text, rows = read_file(
            data, path, table.format, table.columns, fixed, table.serde_properties, table.properties
        )
        names = ", ".join(quoted(name) for name in [*(c.name for c in table.columns), *fixed])
        try:
            cursor.copy_expert(
                f"copy standin_external.{relation} ({names}) from stdin (format csv)",
                io.BytesIO(text),
            )
        except psycopg2.DataError as error:
            raise scan_error(15001, f"File '{path}': {error.diag.message_primary}") from None
        cursor.execute(
            "insert into standin.external_files values (%s, %s, %s, %s, %s)",
            (relation, item.key, item.etag, item.size, rows),
        )
        return rows


def _is_visible(path: str) -> bool:
    return not any(HIDDEN.search(part) for part in path.split("/") if part)


def _folders_of(key: str) -> list[str]:
    return [key[: match.end()] for match in re.finditer("/", key)]


def prefix_of(location: str) -> tuple[str, str]:
    """Bucket and prefix; a folder may lack its slash. Nothing else is tidied: `a//b` stays."""
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    return bucket, prefix if not prefix or prefix.endswith("/") else prefix + "/"


def uri_of(location: str, key: str) -> str:
    return f"s3://{prefix_of(location)[0]}/{key}"


def _common_folder(prefixes: list[str]) -> str:
    first, last = prefixes[0], prefixes[-1]
    length = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    return first[: first.rfind("/", 0, length) + 1]


# Parsing
# ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Definition:
    columns: list[Column]
    partition_columns: list[Column]
    location: str
    format: FileFormat
    serde_properties: dict[str, str]
    properties: dict[str, str]


def parse_column(text: str) -> Column:
    named = re.match(rf"({PART})\s+(.+)$", text.strip(), FLAGS)
    if not named:
        raise syntax_error(text)
    return Column(parts_of(named[1])[0], " ".join(named[2].split()).lower())


def parse_definition(text: str) -> Definition:
    end = closing_parenthesis(text, 0)
    columns = [parse_column(item) for item in split_list(text[1:end])]
    rest = text[end + 1 :]
    partition_columns: list[Column] = []
    partitioned = re.search(r"\bpartitioned\s+by\s*(?=\()", rest, FLAGS)
    if partitioned:
        closing = closing_parenthesis(rest, partitioned.end())
        partition_columns = [
            parse_column(item) for item in split_list(rest[partitioned.end() + 1 : closing])
        ]
        rest = rest[: partitioned.start()] + rest[closing + 1 :]
    names = [c.name for c in [*columns, *partition_columns]]
    if len(set(names)) < len(names):
        raise Refused("42701", "column name specified more than once")
    for column in [*columns, *partition_columns]:
        column_type(column.type)
    location = re.search(r"\blocation\s+'(s3://[^']+)'", rest, FLAGS)
    if not location:
        raise syntax_error("end of input")
    serde = re.search(r"\brow\s+format\s+serde\s+'([^']+)'", rest, FLAGS)
    stored = re.search(r"\bstored\s+as\s+(\w+)", rest, FLAGS)
    named = (serde[1] if serde else stored[1] if stored else "textfile").lower()
    if named not in FORMATS:
        raise unsupported_here(f"external tables stored as {named}")
    serde_properties = re.search(r"\bserdeproperties\s*(?=\()", rest, FLAGS)
    properties = re.search(r"\btable\s+properties\s*(?=\()", rest, FLAGS)
    return Definition(
        columns,
        partition_columns,
        location[1],
        FORMATS[named],
        pairs_of(rest[serde_properties.end() :]) if serde_properties else {},
        pairs_of(rest[properties.end() :]) if properties else {},
    )


def pairs_of(text: str) -> dict[str, str]:
    """`('name'='value', ...)`, from the first parenthesis on."""
    opening = text.index("(")
    inner = text[opening + 1 : closing_parenthesis(text, opening)]
    found = {}
    for item in split_list(inner):
        pair = re.match(r"'([^']+)'\s*=\s*'((?:[^'\\]|\\.|'')*)'$", item, FLAGS)
        if not pair:
            raise syntax_error(item)
        found[pair[1].lower()] = re.sub(r"\\(.)", r"\1", pair[2]).replace("''", "'")
    return found


def partition_clauses(text: str, with_location: bool) -> Iterator[tuple[dict[str, str], str]]:
    position = 0
    pattern = re.compile(
        r"\s*partition\s*\(((?:[^'()]|'(?:[^']|'')*')*)\)"
        + (r"\s*location\s*'([^']*)'" if with_location else ""),
        FLAGS,
    )
    while text[position:].strip():
        match = pattern.match(text, position)
        if not match:
            raise syntax_error(text[position:].split(maxsplit=1)[0])
        keys = {}
        for item in split_list(match[1]):
            pair = re.match(rf"({PART})\s*=\s*(?:'((?:[^']|'')*)'|(-?\d+))$", item, FLAGS)
            if not pair:
                raise syntax_error(item)
            keys[parts_of(pair[1])[0]] = (
                pair[2].replace("''", "'") if pair[2] is not None else pair[3]
            )
        location = match[2] if with_location else ""
        if with_location and not location.startswith("s3://"):
            raise Refused("42601", f"Invalid location {location}")
        yield keys, location
        position = match.end()


def partition_values(table: ExternalTable, keys: dict[str, str]) -> list[str]:
    names = [column.name for column in table.partition_columns]
    if set(keys) != set(names):
        raise Refused(
            "42601", f"Partition keys do not match the table's: {', '.join(names) or 'it has none'}"
        )
    return [keys[name] for name in names]
