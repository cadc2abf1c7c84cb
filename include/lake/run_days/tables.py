"""The tables of schema `operations`, in which a run keeps its days and what was built before.

- `listed_partitions`: the fingerprints of the partitions as this run's first step listed them.
- `listed_sources`: the number of keys of each counted source, as this run's first step found it.
- `run_days`: this run's days by source. The models' macros read them into literals. `row_count` is
  the number of rows in the day's event files, by which a data test finds rows that were lost.
- `run`: the id of this run, whether its days are all touched days and not requested dates, and how
  many merges of files the lake had seen.
- `checked_days`: what was read in the footers of each day's event files, so that files that have
  not changed are not read again.
- `begun_days`: the days that a run began to build since they were last recorded.
- `built_partitions`: the fingerprints of the partitions as of the last successful build.
- `built_sources`: the number of keys of each counted source as of the last successful build.
- `built_until`: the newest change of a file that a run of all touched days has built.
- `built_logic`: a checksum of each seed and of each incremental model's SQL, as last built.
- `changes_of_<model>`: the changed keys of a model, that is the keys of its rows that must be built
  again because a row of one of its inputs has changed. A row of nulls stands for all rows. If
  `is_built` is true, the rows of the key are built and must be tested. Otherwise it is null.

`find_run_days` writes the first six before a build. `record_build` writes the others after a
successful build, for the partitions that the run covered, and removes their days from `begun_days`.
If a run stops in between, the next run therefore finds the same days again, whatever happened to
their files since.

dbt writes and deletes changed keys (`dbt/macros/changes`). A model that replaces rows writes their
keys for its readers in the same transaction, and a reader deletes its own ones in the transaction
that replaces its rows. So no change is lost and none is used up by another model, whichever models
a run builds, in whatever order they are built, and wherever a run stops. In the same transaction it
inserts the keys of the rows that differ as built keys. The tests of the model read only the rows
of built keys, and `record_build` deletes these keys. Changed keys can hold ids of players. The
tables are empty after a recorded run that built every model.

`create_tables` adds the columns that a warehouse of an earlier version lacks. They are null in the
rows that exist.
"""

from __future__ import annotations

from collections.abc import Mapping

from include.lake.listing import Partition
from include.lake.run_days.expiry import has_changed_keys
from include.manifest import Manifest
from include.settings import Settings, UserError
from include.warehouse.database import Database

DAY_COLUMNS = {"source": "varchar(256)", "day": "varchar(16)"}
PARTITION_COLUMNS = {
    **DAY_COLUMNS,
    "object_count": "bigint",
    "byte_count": "bigint",
    "changed_at": "timestamp",
    "fingerprint": "varchar(64)",
}
CHECKED_COLUMNS = {
    **DAY_COLUMNS,
    "fingerprint": "varchar(64)",
    "row_count": "bigint",
    "file_schema": "varchar(64)",
}
SOURCE_COLUMNS = {"source": "varchar(256)", "key_count": "bigint"}
TABLES: Mapping[str, Mapping[str, str]] = {
    "listed_partitions": PARTITION_COLUMNS,
    "listed_sources": SOURCE_COLUMNS,
    "built_partitions": PARTITION_COLUMNS,
    "built_sources": SOURCE_COLUMNS,
    "run_days": {**DAY_COLUMNS, "row_count": "bigint"},
    "begun_days": DAY_COLUMNS,
    "checked_days": CHECKED_COLUMNS,
    "run": {"run_id": "varchar(1024)", "is_whole": "boolean", "merge_count": "bigint"},
    "built_until": {"changed_at": "timestamp"},
    "built_logic": {"node": "varchar(1024)", "checksum": "varchar(256)"},
}
"""The columns of each table, with their types."""


def operations_schema(settings: Settings) -> str:
    """The name of schema `operations`, with the prefix."""
    return f"{settings.schema_prefix}operations"


def changed_keys_table(settings: Settings, model: str) -> str:
    """The table with the changed keys of a model."""
    return f"{operations_schema(settings)}.changes_of_{model}"


def changed_keys(manifest: Manifest) -> dict[str, dict[str, str]]:
    """The key columns of each model that is built by changed keys, with their types, by model.

    The YAML file of a model declares them in `meta: {changed_keys: …}`. Raises UserError if one has
    no `data_type` there.
    """
    keys: dict[str, dict[str, str]] = {}
    for node in filter(has_changed_keys, manifest.nodes.values()):
        names = node["config"]["meta"]["changed_keys"]["columns"]
        types = {name: node["columns"].get(name, {}).get("data_type") for name in names}
        untyped = [name for name, kind in types.items() if not kind]
        if untyped:
            raise UserError(
                f"the model {node['name']} has the changed keys {', '.join(untyped)} without a "
                f"type: give these columns a `data_type` in the YAML file of the model, which is "
                f"beside dbt/{node['original_file_path']}."
            )
        keys[node["name"]] = types
    return keys


def create_tables(
    database: Database, settings: Settings, keys: Mapping[str, Mapping[str, str]]
) -> None:
    """Create the schema, and those of its tables and of their columns that do not exist.

    `keys` are the `changed_keys` of the models.
    """
    schema = operations_schema(settings)
    # Redshift requires the right to create schemas even with "if not exists", and the user of
    # the build may not have it.
    if not database.rows("select 1 from pg_catalog.pg_namespace where nspname = ?", [schema]):
        database.execute(f"create schema {schema}")
    existing = _existing_columns(database, schema)
    changes = {
        f"changes_of_{model}": {
            **{f"changed_{name}": kind for name, kind in columns.items()},
            "is_built": "boolean",
        }
        for model, columns in keys.items()
    }
    for table, columns in {**TABLES, **changes}.items():
        if table not in existing:
            listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            # Another run may have created it meanwhile.
            database.execute(f"create table if not exists {schema}.{table} ({listed})")
            continue
        for name, kind in columns.items():
            if name not in existing[table]:
                database.execute(f"alter table {schema}.{table} add column {name} {kind}")


def _existing_columns(database: Database, schema: str) -> dict[str, set[str]]:
    """The columns of each table of a schema."""
    existing: dict[str, set[str]] = {}
    for table, column in database.rows(
        "select classes.relname, attributes.attname from pg_catalog.pg_attribute as attributes "
        "join pg_catalog.pg_class as classes on attributes.attrelid = classes.oid "
        "join pg_catalog.pg_namespace as namespaces on classes.relnamespace = namespaces.oid "
        "where namespaces.nspname = ? and attributes.attnum > 0 and not attributes.attisdropped",
        [schema],
    ):
        existing.setdefault(table, set()).add(column)
    return existing


def built_partitions(database: Database, schema: str) -> list[Partition]:
    """The partitions as of the last successful build."""
    return [
        Partition(*row)
        for row in database.rows(
            f"select {', '.join(PARTITION_COLUMNS)} from {schema}.built_partitions"
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
