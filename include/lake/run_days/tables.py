"""What arrived since the last successful build, and the record of it in the warehouse.

Schema `operations` holds six tables:

- `listed_partitions`: the lake as this run's first step found it;
- `built_partitions`: the lake as of the last successful build;
- `run_days`: the days of this run by source, which the models' macros read into literals;
- `run`: whose days these are, and whether nothing was left out of them;
- `built_until`: the newest arrival that a run of all its days has built;
- `built_logic`: a checksum of every seed and of every incremental model's SQL, as last built.

`find_run_days` writes all but the built ones before a build, `record_build` writes those after it,
and only for what the run covered: after a crash in between the next run finds the same days.
"""

from __future__ import annotations

from include.lake.listing import Partition
from include.settings import Settings
from include.warehouse.database import Database

PARTITIONS = (
    "(source varchar(256), day varchar(16), object_count bigint, byte_count bigint, "
    "changed_at timestamp)"
)
TABLES = {
    "listed_partitions": PARTITIONS,
    "built_partitions": PARTITIONS,
    "run_days": "(source varchar(256), day varchar(16))",
    "run": "(run_id varchar(1024), is_whole boolean)",
    "built_until": "(changed_at timestamp)",
    "built_logic": "(node varchar(1024), checksum varchar(256))",
}


def create_tables(database: Database, settings: Settings) -> str:
    schema = f"{settings.schema_prefix}operations"
    # Its user need not have the right to make schemas, for which even "if not exists" asks.
    if not database.rows("select 1 from pg_catalog.pg_namespace where nspname = ?", [schema]):
        database.execute(f"create schema {schema}")
    for table, columns in TABLES.items():
        database.execute(f"create table if not exists {schema}.{table} {columns}")
    return schema


def read_partitions(database: Database, table: str) -> list[Partition]:
    return [
        Partition(*row)
        for row in database.rows(
            f"select source, day, object_count, byte_count, changed_at from {table}"
        )
    ]


def covered(schema: str) -> str:
    """The partitions that the run's days cover; an undivided source is covered by every run.

    One text of two columns: neither engine's way of comparing pairs is the other's.
    """
    return (
        f"(day = '' or source || ' ' || day in "
        f"(select source || ' ' || day from {schema}.run_days))"
    )
