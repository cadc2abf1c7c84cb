"""Loads the files on S3 of the relations that a query reads."""

from __future__ import annotations

import gzip
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from botocore.exceptions import ClientError

from tests.redshift_standin.refusals import scan_error
from tests.redshift_standin.spectrum.files import read_file
from tests.redshift_standin.spectrum.listing import (
    Object,
    list_objects,
    prefix_of,
    service_error,
    uri_of,
)
from tests.redshift_standin.spectrum.tables import ExternalTable
from tests.redshift_standin.sql_text import quoted


@dataclass(frozen=True)
class Partition:
    """A partition, and the leaf (`relation`) into which its files are loaded."""

    relation: str
    values: list[str]
    location: str


@dataclass
class ScanOfTable:
    """The partitions, files and rows that one statement read of an external table."""

    table: str
    format: str
    total_partitions: int
    partitions: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    bytes: int = 0
    rows: int = 0


def relations_in_plan(plan: Any) -> set[str]:
    """Return the names of the tables that the plan of EXPLAIN (FORMAT JSON) scans."""
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


def scan_table(
    cursor: Any, s3: Any, table: ExternalTable, scanned: set[str], vanishes: bool
) -> ScanOfTable:
    """Load the new files of the table's relations that are in `scanned`, and unload deleted files.

    Raises Refused.
    """
    registered = _partitions_of(cursor, table)
    qualified = [partition for partition in registered if partition.relation in scanned]
    names = [column.name for column in table.partition_columns]
    scan = ScanOfTable(
        table.full_name,
        table.format.name.lower(),
        len(registered) if names else 0,
        [
            "/".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
            for values in (partition.values for partition in qualified)
        ],
    )
    if not qualified:
        return scan
    listed = list_objects(s3, {partition.location for partition in qualified})
    loaded = _loaded(cursor, qualified)
    for partition in qualified:
        objects, before = listed[partition.location], loaded[partition.relation]
        if vanishes and objects:
            raise scan_error(
                15001,
                f"Failed to read {uri_of(partition.location, objects[0].key)}: Error: HTTP "
                "response error code: 404 Message: NoSuchKey The specified key does not exist.",
            )
        kept = {o.key for o in objects if o.key in before and before[o.key][0] == o}
        _unload(cursor, partition, set(before) - kept)
        for item in objects:
            if item.key in kept:
                rows = before[item.key][1]
            else:
                rows = _load(cursor, s3, table, partition, item)
            scan.rows += rows
            scan.bytes += item.size
            scan.files.append(uri_of(partition.location, item.key))
    return scan


def _partitions_of(cursor: Any, table: ExternalTable) -> list[Partition]:
    """Return the registered partitions. A table without partition columns is its own partition."""
    if not table.partition_columns:
        return [Partition(table.root, [], table.location)]
    cursor.execute(
        "select relation, partition_values, location from standin.external_partitions "
        "where table_id = %s order by 2",
        (table.id,),
    )
    return [Partition(*row) for row in cursor.fetchall()]


def _loaded(
    cursor: Any, partitions: list[Partition]
) -> Mapping[str, dict[str, tuple[Object, int]]]:
    """Return the loaded objects by relation and key, each with its number of rows."""
    cursor.execute(
        "select relation, key, etag, size, rows from standin.external_files "
        "where relation = any(%s)",
        ([partition.relation for partition in partitions],),
    )
    found: defaultdict[str, dict[str, tuple[Object, int]]] = defaultdict(dict)
    for relation, key, etag, size, rows in cursor.fetchall():
        found[relation][key] = (Object(key, etag, size), rows)
    return found


def _unload(cursor: Any, partition: Partition, keys: set[str]) -> None:
    if not keys:
        return
    cursor.execute(
        f'delete from standin_external.{partition.relation} where "$path" = any(%s)',
        ([uri_of(partition.location, key) for key in keys],),
    )
    cursor.execute(
        "delete from standin.external_files where relation = %s and key = any(%s)",
        (partition.relation, list(keys)),
    )


def _load(cursor: Any, s3: Any, table: ExternalTable, partition: Partition, item: Object) -> int:
    """Load one object and return the number of its rows; raises Refused."""
    bucket, _ = prefix_of(partition.location)
    path = uri_of(partition.location, item.key)
    try:
        data = s3.get_object(Bucket=bucket, Key=item.key, IfMatch=item.etag)["Body"].read()
    except ClientError as error:
        raise service_error(error) from None
    if item.key.endswith(".gz"):
        data = gzip.decompress(data)
    fixed = {
        **dict(zip((c.name for c in table.partition_columns), partition.values, strict=True)),
        "$path": path,
        "$size": str(item.size),
    }
    text, rows = read_file(
        data, path, table.format, table.columns, fixed, table.serde_properties, table.properties
    )
    names = ", ".join(quoted(name) for name in [*(c.name for c in table.columns), *fixed])
    try:
        cursor.copy_expert(
            f"copy standin_external.{partition.relation} ({names}) from stdin (format csv)",
            io.BytesIO(text),
        )
    except psycopg2.DataError as error:
        raise scan_error(15001, f"File '{path}': {error.diag.message_primary}") from None
    cursor.execute(
        "insert into standin.external_files values (%s, %s, %s, %s, %s)",
        (partition.relation, item.key, item.etag, item.size, rows),
    )
    return rows
