"""Reads the definitions of external tables from the catalogue, and checks the right to alter them.

The functions raise Refused if a schema or table does not exist or the user may not alter it.
"""

from __future__ import annotations

from typing import Any

from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.spectrum.tables import Column, ExternalTable, FileFormat
from tests.redshift_standin.sql_text import parts_of


def schema_and_name(name: str) -> tuple[str, str]:
    parts = parts_of(name)
    if len(parts) < 2:
        raise Refused("42601", "External table must be created in an external schema")
    return parts[-2], parts[-1]


def table_to_alter(cursor: Any, name: str, user: str) -> ExternalTable:
    schema, table = schema_and_name(name)
    check_owner(cursor, schema, user)
    return table_by_name(cursor, schema, table)


def check_owner(cursor: Any, schema: str, user: str) -> None:
    cursor.execute("select 1 from standin.external_schemas where name = %s", (schema,))
    if not cursor.fetchone():
        raise Refused("3F000", f'External schema "{schema}" does not exist')
    cursor.execute("select has_schema_privilege(%s, %s, 'create')", (user, schema))
    if not cursor.fetchone()[0]:
        raise Refused("42501", f"permission denied for schema {schema}")


def table_by_name(cursor: Any, schema: str, name: str) -> ExternalTable:
    cursor.execute(
        "select id from standin.external_tables where (schema_name, table_name) = (%s, %s)",
        (schema, name),
    )
    row = cursor.fetchone()
    if row is None:
        raise Refused("42P01", f'relation "{schema}.{name}" does not exist')
    return table_by_id(cursor, row[0])


def table_by_id(cursor: Any, table_id: int) -> ExternalTable:
    cursor.execute(
        "select id, schema_name, table_name, location, serde, serde_properties, "
        "properties, columns, partition_columns "
        "from standin.external_tables where id = %s",
        (table_id,),
    )
    row = cursor.fetchone()
    if row is None:
        raise Refused("42P01", "relation does not exist")
    number, schema, name, location, serde, serde_properties, properties, columns, partitions = row
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


def is_external(cursor: Any, target: str) -> bool:
    """Return whether a folded table name, or `schema:` and a schema's name, is external."""
    if target.startswith("schema:"):
        cursor.execute("select 1 from standin.external_schemas where name = %s", (target[7:],))
    else:
        parts = parts_of(target)
        if len(parts) < 2:
            return False
        cursor.execute(
            "select 1 from standin.external_tables where (schema_name, table_name) = (%s, %s)",
            (parts[-2], parts[-1]),
        )
    return cursor.fetchone() is not None
