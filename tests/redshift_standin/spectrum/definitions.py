"""Runs external DDL: creates, alters and drops external schemas, tables and partitions.

The arguments of each action are a cursor of the superuser, the parts of the statement, and the
user who sent it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.redshift_standin.refusals import Refused, syntax_error, unsupported_here
from tests.redshift_standin.spectrum.catalog import (
    check_owner,
    schema_and_name,
    table_by_name,
    table_to_alter,
)
from tests.redshift_standin.spectrum.clauses import (
    pairs_of,
    parse_column,
    parse_definition,
    partition_clauses,
    partition_values,
)
from tests.redshift_standin.spectrum.tables import ExternalTable
from tests.redshift_standin.sql_text import FLAGS, parts_of, quoted


def create_schema(cursor: Any, given: dict[str, Any], user: str) -> None:
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


def drop_schema(cursor: Any, given: dict[str, Any], user: str) -> None:
    for name in given["names"]:
        check_owner(cursor, name, user)
        cursor.execute(
            "select table_name from standin.external_tables where schema_name = %s", (name,)
        )
        # The Glue catalog holds the tables, so Redshift drops the schema even if it has tables.
        for (table,) in cursor.fetchall():
            _remove(cursor, table_by_name(cursor, name, table))
        cursor.execute("delete from standin.external_schemas where name = %s", (name,))
        cursor.execute(f"drop schema {quoted(name)} cascade")


def create_table(cursor: Any, given: dict[str, Any], user: str) -> None:
    schema, name = schema_and_name(given["name"])
    check_owner(cursor, schema, user)
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
    table = table_by_name(cursor, schema, name)
    columns = ", ".join(
        f"{quoted(c.name)} {c.postgres_type}" for c in [*table.columns, *table.partition_columns]
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
    _create_views(cursor, table)


def _create_views(cursor: Any, table: ExternalTable) -> None:
    columns = ", ".join(quoted(c.name) for c in [*table.columns, *table.partition_columns])
    with_path = f'{columns}, "$path", "$size"'
    for view, listed in zip(table.views, (columns, with_path), strict=True):
        cursor.execute(f"create view {view} as select {listed} from standin_external.{table.root}")
        # Redshift checks only USAGE on the schema.
        cursor.execute(f"grant select on {view} to public")


def _drop_views(cursor: Any, table: ExternalTable) -> None:
    for view in table.views:
        cursor.execute(f"drop view if exists {view} cascade")


def drop_table(cursor: Any, given: dict[str, Any], user: str) -> None:
    _remove(cursor, table_to_alter(cursor, given["name"], user))


def _remove(cursor: Any, table: ExternalTable) -> None:
    _drop_views(cursor, table)
    cursor.execute(f"drop table if exists standin_external.{table.root} cascade")
    _delete_loaded_files(cursor, table)
    cursor.execute("delete from standin.external_tables where id = %s", (table.id,))


def add_partitions(cursor: Any, given: dict[str, Any], user: str) -> None:
    table = table_to_alter(cursor, given["name"], user)
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
        _attach(cursor, table, new)


def _attach(cursor: Any, table: ExternalTable, locations: Mapping[tuple[str, ...], str]) -> None:
    """Create a leaf for each partition, and the missing levels above it.

    The leaves are attached, because CREATE TABLE ... PARTITION OF waits for every reader of the
    table.
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


def drop_partition(cursor: Any, given: dict[str, Any], user: str) -> None:
    table = table_to_alter(cursor, given["name"], user)
    wanted = list(partition_clauses(given["partitions"], with_location=False))
    if len(wanted) != 1:
        raise syntax_error(",")
    values = partition_values(table, wanted[0][0])
    cursor.execute(
        "delete from standin.external_partitions where table_id = %s and partition_values "
        "= %s::text[] returning relation",
        (table.id, values),
    )
    row = cursor.fetchone()
    if row is None:
        raise Refused("42704", "Partition does not exist.")
    cursor.execute("delete from standin.external_files where relation = %s", row)
    cursor.execute(f"drop table standin_external.{row[0]}")


def alter_table(cursor: Any, given: dict[str, Any], user: str) -> None:
    table = table_to_alter(cursor, given["name"], user)
    if given.get("location") is not None and given.get("partition"):
        keys, _ = next(iter(partition_clauses(given["partition"], with_location=False)))
        cursor.execute(
            "update standin.external_partitions set location = %s where table_id = %s and "
            "partition_values = %s::text[]",
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
        _unload(cursor, table)
    else:
        raise unsupported_here("ALTER TABLE ... SET FILE FORMAT")


def alter_columns(cursor: Any, given: dict[str, Any], user: str) -> None:
    table = table_to_alter(cursor, given["name"], user)
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
    _drop_views(cursor, table)
    cursor.execute(f"alter table standin_external.{table.root} {change}")
    cursor.execute(
        "update standin.external_tables set columns = %s where id = %s",
        (json.dumps([c.as_json() for c in columns]), table.id),
    )
    _create_views(cursor, table_by_name(cursor, table.schema, table.name))
    _unload(cursor, table)


def _unload(cursor: Any, table: ExternalTable) -> None:
    """Delete the loaded rows, because they were read under another definition of the table."""
    cursor.execute(f"delete from standin_external.{table.root}")
    _delete_loaded_files(cursor, table)


def _delete_loaded_files(cursor: Any, table: ExternalTable) -> None:
    cursor.execute(
        "delete from standin.external_files where relation = %s or relation in "
        "(select relation from standin.external_partitions where table_id = %s)",
        (table.root, table.id),
    )


def refuse_grant(_: Any, given: dict[str, Any], __: str) -> None:
    name = ".".join(parts_of(given["name"])[-2:])
    raise Refused(
        "0A000",
        f'Operation not supported on external table "{name}": grant usage on its schema',
    )


ACTIONS: dict[str, Callable[[Any, dict[str, Any], str], None]] = {
    "create_schema": create_schema,
    "drop_schema": drop_schema,
    "create_table": create_table,
    "drop_table": drop_table,
    "add_partitions": add_partitions,
    "drop_partition": drop_partition,
    "alter_table": alter_table,
    "alter_columns": alter_columns,
    "grant": refuse_grant,
}
