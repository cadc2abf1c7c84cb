"""The tables of schema `operations`, in which a run keeps its days and what was built before.

- `listed_partitions`: the fingerprints of the partitions as this run's first step listed them.
- `run_days`: this run's days by source. The models' macros read them into literals.
- `run`: the id of this run, and whether its days are all touched days, not requested dates.
- `built_partitions`: the fingerprints of the partitions as of the last successful build.
- `built_until`: the newest change of a file that a run of all touched days has built.
- `built_logic`: a checksum of each seed and of each incremental model's SQL, as last built.

`find_run_days` writes the first three before a build. `record_build` writes the others after a
successful build, for the partitions that the run covered. If a run stops in between, the next run
therefore finds the same days again.
"""

from __future__ import annotations

from include.lake.listing import Partition
from include.settings import Settings
from include.warehouse.database import Database

PARTITION_COLUMNS = (
    "(source varchar(256), day varchar(16), object_count bigint, byte_count bigint, "
    "changed_at timestamp)"
)
TABLES = {
    "listed_partitions": PARTITION_COLUMNS,
    "built_partitions": PARTITION_COLUMNS,
    "run_days": "(source varchar(256), day varchar(16))",
    "run": "(run_id varchar(1024), is_whole boolean)",
    "built_until": "(changed_at timestamp)",
    "built_logic": "(node varchar(1024), checksum varchar(256))",
}


def operations_schema(settings: Settings) -> str:
    """The name of schema `operations`, with the prefix."""
    return f"{settings.schema_prefix}operations"


def create_tables(database: Database, settings: Settings) -> None:
    """Create the schema and those of its tables that do not exist."""
    schema = operations_schema(settings)
    # Redshift requires the right to create schemas even with "if not exists", and the user of
    # the build may not have it.
    if not database.rows("select 1 from pg_catalog.pg_namespace where nspname = ?", [schema]):
        database.execute(f"create schema {schema}")
    for table, columns in TABLES.items():
        database.execute(f"create table if not exists {schema}.{table} {columns}")


def built_partitions(database: Database, schema: str) -> list[Partition]:
    """The partitions as of the last successful build."""
    return [
        Partition(*row)
        for row in database.rows(
            "select source, day, object_count, byte_count, changed_at "
            f"from {schema}.built_partitions"
        )
    ]


def is_covered(schema: str) -> str:
    """The SQL condition for a partition that the run's days cover.

    Every run covers the sources without partition columns, whose `day` is empty. Source and day are
    compared as one text, because DuckDB and Redshift compare pairs of columns in different syntax.
    """
    return (
        f"(day = '' or source || ' ' || day in "
        f"(select source || ' ' || day from {schema}.run_days))"
    )
