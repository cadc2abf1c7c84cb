"""The external tables of Redshift Spectrum, which are created and updated from the sources.

Redshift does not allow these statements inside a transaction (error 25001). Each of them can be
repeated, so the next run completes what a stopped run has begun.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from include.lake.listing import Listing, list_lake
from include.lake.sources import Source
from include.lake.storage.lake import Lake
from include.settings import Settings, UserError
from include.warehouse.database import Database
from include.warehouse.redshift import literal

BATCH = 100
"""The most partitions that Redshift accepts in one ALTER TABLE."""

PROPERTIES = (
    "table properties ('data_cleansing_enabled'='true', 'surplus_char_handling'='TRUNCATE')"
)
"""TRUNCATE cuts text that is longer than its column. Without it one value would stop the build.
Staging recognises a cut event_data by its length.
"""


@dataclass(frozen=True)
class ExternalTable:
    """A table of the Glue catalog. `columns` maps the columns of its files to their types."""

    location: str
    columns: Mapping[str, str]
    partition_columns: tuple[str, ...]
    is_parquet: bool = True


def create_external_tables(
    database: Database,
    settings: Settings,
    lake: Lake,
    declared: Sequence[Source],
    listing: Listing,
    since: date | None = None,
) -> list[str]:
    """Create or update the external schema, its tables and their partitions.

    The listing has no days before `since`, so the partitions of these days stay as they are. For a
    table that is created, the whole folder is listed. Returns a line for each change. Raises
    UserError for a table that differs from its source in more than missing columns.
    """
    schema = f"{settings.schema_prefix}spectrum"
    done = _create_schema(database, settings, schema)
    existing = _existing(database, schema)
    listings: dict[str, tuple[Listing, date | None]] = {}
    for source in declared:
        table = wanted(settings, source)
        old = existing.get(source.name)
        if old and _is_outdated(settings, source, old):
            database.execute(f"drop table {schema}.{source.name}")
            done.append(f"dropped external table {schema}.{source.name}, which read {old.location}")
            old = None
        listings[source.name] = (listing, since)
        if since and source.partition_columns and old is None:
            listings[source.name] = (list_lake(lake, [source], None), None)
        done += _create_table(database, schema, source, table, old)
    registered = _registered(database, schema)
    for source in declared:
        if source.partition_columns:
            own, bound = listings[source.name]
            old_days = registered.get(source.name, set())
            days = {p.day for p in own.partitions if p.source == source.name}
            gone = {day for day in old_days - days if not bound or date.fromisoformat(day) >= bound}
            new = days - old_days
            done += _register(database, settings, f"{schema}.{source.name}", source, new)
            done += _remove(database, f"{schema}.{source.name}", source, gone)
    return done


def wanted(settings: Settings, source: Source) -> ExternalTable:
    """The table that a source must have."""
    return ExternalTable(
        location=f"{settings.lake}/{source.rows_folder(settings.schema_prefix)}/",
        columns=source.file_columns,
        partition_columns=source.partition_columns,
    )


def _is_outdated(settings: Settings, source: Source, existing: ExternalTable) -> bool:
    """Whether a table of a parsed source reads raw files, as it did before runs parsed them."""
    return source.is_parsed and existing.location.rstrip("/") == f"{settings.lake}/{source.name}"


def _create_schema(database: Database, settings: Settings, schema: str) -> list[str]:
    if database.rows("select 1 from svv_external_schemas where schemaname = ?", [schema]):
        return []
    role = settings.spectrum_role
    # Each schema prefix has its own Glue database, because it has tables of the same names.
    catalog = f"{settings.schema_prefix}{settings.glue_database}"
    database.execute(
        f"create external schema if not exists {schema} from data catalog "
        f"database {literal(catalog)} "
        f"iam_role {'default' if role == 'default' else literal(role)} "
        "create external database if not exists"
    )
    return [f"created external schema {schema} on Glue database {catalog}"]


def _existing(database: Database, schema: str) -> dict[str, ExternalTable]:
    """The external tables of the schema, by name."""
    columns: dict[str, dict[str, str]] = {}
    partition_columns: dict[str, list[str]] = {}
    for table, column, declared, part in database.rows(
        "select tablename, columnname, external_type, part_key from svv_external_columns "
        "where schemaname = ? order by tablename, part_key, columnnum",
        [schema],
    ):
        if part:
            partition_columns.setdefault(table, []).append(column)
        else:
            columns.setdefault(table, {})[column] = declared
    return {
        table: ExternalTable(
            location=location,
            columns=columns.get(table, {}),
            partition_columns=tuple(partition_columns.get(table, [])),
            is_parquet="parquet" in f"{input_format} {serialization}".lower(),
        )
        for table, location, input_format, serialization in database.rows(
            "select tablename, location, input_format, serialization_lib "
            "from svv_external_tables where schemaname = ?",
            [schema],
        )
    }


def _create_table(
    database: Database,
    schema: str,
    source: Source,
    table: ExternalTable,
    existing: ExternalTable | None,
) -> list[str]:
    name = f"{schema}.{source.name}"
    if existing is None:
        columns = ", ".join(f'"{column}" {kind}' for column, kind in table.columns.items())
        parts = ", ".join(f'"{part}" {source.columns[part]}' for part in table.partition_columns)
        database.execute(
            f"create external table {name} ({columns}) "
            f"{f'partitioned by ({parts}) ' if parts else ''}stored as parquet "
            f"location {literal(table.location)} {PROPERTIES}"
        )
        return [f"created external table {name}"]
    if faults := drift(table, existing):
        raise UserError(
            f"external table {name} differs from its source in the dbt project "
            f"({'; '.join(faults)}): correct the source's YAML, or `drop table {name}` as its "
            "owner, which leaves the files as they are, and run again."
        )
    added = [column for column in table.columns if column not in existing.columns]
    for column in added:
        database.execute(f'alter table {name} add column "{column}" {table.columns[column]}')
    return [f"added column {column} to external table {name}" for column in added]


def drift(table: ExternalTable, existing: ExternalTable) -> list[str]:
    """How an existing table differs from the wanted one, apart from missing columns."""
    faults = [] if existing.is_parquet else ["it does not read Parquet files"]
    if existing.location.rstrip("/") != table.location.rstrip("/"):
        faults.append(f"it is at {existing.location}, not at {table.location}")
    if existing.partition_columns != table.partition_columns:
        faults.append(
            f"it is partitioned by ({', '.join(existing.partition_columns)}), "
            f"not by ({', '.join(table.partition_columns)})"
        )
    for column, kind in existing.columns.items():
        if column not in table.columns:
            faults.append(f"no source column {column}")
        elif _type(kind) != _type(table.columns[column]):
            faults.append(f"column {column} is {kind}, not {table.columns[column]}")
    return faults


def _type(declared: str) -> str:
    """A type in one spelling, because the Glue catalog returns Hive's names of types."""
    kind = declared.lower().replace("character varying", "varchar").replace(" ", "")
    return "binary" if kind.startswith(("varbyte", "binary")) else kind


def _registered(database: Database, schema: str) -> dict[str, set[str]]:
    """The days of the registered partitions by table, without values that are no day."""
    days: dict[str, set[str]] = {}
    for table, values in database.rows(
        'select tablename, "values" from svv_external_partitions where schemaname = ?', [schema]
    ):
        day = "-".join(map(str, json.loads(values)))
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", day):
            days.setdefault(table, set()).add(day)
    return days


def _register(
    database: Database, settings: Settings, table: str, source: Source, days: Iterable[str]
) -> list[str]:
    missing = sorted(days)
    for first in range(0, len(missing), BATCH):
        parts = " ".join(
            f"partition ({_spec(source, day)}) location "
            + literal(f"{wanted(settings, source).location}{source.partition_folder(day)}/")
            for day in missing[first : first + BATCH]
        )
        database.execute(f"alter table {table} add if not exists {parts}")
    return [f"registered {_partitions(missing)} of {table}"] if missing else []


def _remove(database: Database, table: str, source: Source, days: Iterable[str]) -> list[str]:
    gone = sorted(days)
    for day in gone:
        database.execute(f"alter table {table} drop partition ({_spec(source, day)})")
    return [f"removed {_partitions(gone)} of {table}: their folders are empty"] if gone else []


def _spec(source: Source, day: str) -> str:
    return ", ".join(
        f"{name}={literal(value)}" for name, value in source.partition_values(day).items()
    )


def _partitions(days: Sequence[str]) -> str:
    return f"{len(days)} partition{'s' if len(days) != 1 else ''} ({days[0]} to {days[-1]})"
