"""How large the assets are: rows and bytes of tables, files and bytes of the lake's folders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from include.settings import Settings
from include.warehouse.database import Database

BLOCK_BYTES = 262_144
"""The size of a block of a DuckDB file."""


@dataclass(frozen=True)
class Size:
    """The size of an asset; None if it is not known.

    A folder has `files` and `changed_at`, the latest change of a file in UTC. A table has `rows`.
    """

    byte_count: int | None = None
    rows: int | None = None
    files: int | None = None
    changed_at: datetime | None = None


def table_sizes(database: Database, settings: Settings) -> dict[str, Size]:
    """The sizes of all tables by schema and name, such as `marts.dim_games`; views have none.

    On DuckDB the rows are counted, which reads no column. On Redshift they are those of
    `svv_table_info`, which also counts rows that a vacuum will remove.
    """
    if settings.target == "redshift":
        return {
            f"{schema}.{table}": Size(byte_count=int(megabytes) * 2**20, rows=int(rows))
            for schema, table, rows, megabytes in database.rows(
                'select "schema", "table", tbl_rows, size from svv_table_info'
            )
        }
    tables = database.rows(
        "select schema_name, table_name from duckdb_tables()"
        " where not internal and not temporary and database_name = current_database()"
    )
    return {f"{schema}.{table}": _duckdb_size(database, schema, table) for schema, table in tables}


def folder_sizes(database: Database, settings: Settings) -> dict[str, Size]:
    """The sizes of the lake's folders by source, as the last run listed them."""
    schema = f"{settings.schema_prefix}operations"
    return {
        str(source): Size(byte_count=int(byte_count), files=int(files), changed_at=changed_at)
        for source, files, byte_count, changed_at in database.rows(
            "select source, sum(object_count), sum(byte_count), max(changed_at)"
            f" from {schema}.listed_partitions group by 1"
        )
    }


def _duckdb_size(database: Database, schema: str, table: str) -> Size:
    name = f"{_quoted(schema)}.{_quoted(table)}"
    ((rows,),) = database.rows(f"select count(*) from {name}")
    # Blocks that hold parts of several columns are counted once.
    ((blocks,),) = database.rows(
        "select count(distinct block_id) from pragma_storage_info(?) where block_id >= 0", [name]
    )
    return Size(byte_count=blocks * BLOCK_BYTES, rows=rows)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
