"""The external tables of Redshift Spectrum, made and kept right from the sources of the project.

None of this can run inside a transaction (Redshift's error 25001), so each statement stands alone,
and each can be repeated: a run that dies in between is finished by the next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from include.lake.listing import Listing, list_lake
from include.lake.sources import Source, data_ending
from include.lake.storage.lake import Lake
from include.settings import Settings, UserError
from include.warehouse.database import Database
from include.warehouse.redshift import literal

BATCH = 100
"""Partitions in one ALTER TABLE: as many as Redshift takes."""

STORED_AS = {
    # Text that is longer than its column is cut, so that one value cannot stop a build: staging
    # knows a cut event_data by its length.
    "parquet": (
        "stored as parquet",
        "table properties ('data_cleansing_enabled'='true', 'surplus_char_handling'='TRUNCATE')",
    ),
    "csv": (
        "row format serde 'org.apache.hadoop.hive.serde2.OpenCSVSerde' stored as textfile",
        "table properties ('skip.header.line.count'='1')",
    ),
    "json": ("row format serde 'org.openx.data.jsonserde.JsonSerDe' stored as textfile", ""),
}
"""Per format: how the table is stored, before its location and after it."""


@dataclass(frozen=True)
class ExternalTable:
    """A table as the Glue catalog knows it; columns and partition columns by name, with types."""

    location: str
    format: str
    columns: Mapping[str, str]
    partition_columns: tuple[str, ...]


def create_external_tables(
    database: Database,
    settings: Settings,
    lake: Lake,
    declared: Sequence[Source],
    listing: Listing,
    since: date | None = None,
) -> list[str]:
    """Make the external schema, its tables and their partitions as the sources and the lake say.

    Partitions of days before `since`, which the listing leaves out, stay as they are; for a table
    that is made anew the whole folder is listed. Returns what was changed, in lines. Raises
    UserError for a table that differs from its source in more than columns to be added.
    """
    schema = f"{settings.schema_prefix}spectrum"
    done = _create_schema(database, settings, schema)
    existing = _existing(database, schema)
    found: dict[str, tuple[Listing, date | None]] = {}
    for source in declared:
        old = existing.get(source.name)
        table = wanted(settings, source, listing, old)
        found[source.name] = (listing, since)
        if since and source.partition_columns and (old is None or old.format != table.format):
            found[source.name] = (list_lake(lake, [source], None), None)
            table = wanted(settings, source, found[source.name][0], old)
        done += _create_table(database, schema, source, table, old)
    registered = _registered(database, schema)
    for source in declared:
        if source.partition_columns:
            own, bound = found[source.name]
            there = registered.get(source.name, set())
            days = {p.day for p in own.partitions if p.source == source.name}
            gone = {day for day in there - days if not bound or date.fromisoformat(day) >= bound}
            done += _register(database, settings, f"{schema}.{source.name}", source, days - there)
            done += _remove(database, f"{schema}.{source.name}", source, gone)
    return done


def wanted(
    settings: Settings, source: Source, listing: Listing, existing: ExternalTable | None = None
) -> ExternalTable:
    """The table that a source must have; raises UserError for a folder of several formats.

    Without a file the format is that of the existing table, or Parquet until there is one.
    """
    formats = {
        source.formats[ending]
        for file in listing.of(source)
        if (ending := data_ending(file.name, source.formats))
    }
    if len(formats) > 1:
        raise UserError(
            f"{settings.lake}/{source.name}/ holds {' and '.join(sorted(formats))} files: "
            f"Spectrum reads one format per folder, and `make compact SOURCE={source.name}` "
            "makes all of them Parquet."
        )
    return ExternalTable(
        location=f"{settings.lake}/{source.name}/",
        format=formats.pop() if formats else existing.format if existing else "parquet",
        columns=source.file_columns,
        partition_columns=source.partition_columns,
    )


def _create_schema(database: Database, settings: Settings, schema: str) -> list[str]:
    if database.rows("select 1 from svv_external_schemas where schemaname = ?", [schema]):
        return []
    role = settings.spectrum_role
    # Two developers' tables of one name would be one table in a shared Glue database.
    catalog = f"{settings.schema_prefix}{settings.glue_database}"
    database.execute(
        f"create external schema if not exists {schema} from data catalog "
        f"database {literal(catalog)} "
        f"iam_role {'default' if role == 'default' else literal(role)} "
        "create external database if not exists"
    )
    return [f"created external schema {schema} on Glue database {catalog}"]


def _existing(database: Database, schema: str) -> dict[str, ExternalTable]:
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
            format=_format(f"{input_format} {serialization}"),
            columns=columns.get(table, {}),
            partition_columns=tuple(partition_columns.get(table, [])),
        )
        for table, location, input_format, serialization in database.rows(
            "select tablename, location, input_format, serialization_lib "
            "from svv_external_tables where schemaname = ?",
            [schema],
        )
    }


def _format(described: str) -> str:
    """The format by the names of Hive's classes."""
    for name, mark in (("parquet", "parquet"), ("json", "json"), ("csv", "csv")):
        if mark in described.lower():
            return name
    return described


def _create_table(
    database: Database,
    schema: str,
    source: Source,
    table: ExternalTable,
    existing: ExternalTable | None,
) -> list[str]:
    name = f"{schema}.{source.name}"
    done = []
    if existing and existing.format != table.format and not drift(table, existing):
        # Made when the folder was empty, or held something else.
        database.execute(f"drop table {name}")
        done = [f"dropped external table {name} ({existing.format})"]
        existing = None
    if existing is None:
        columns = ", ".join(f'"{column}" {kind}' for column, kind in table.columns.items())
        parts = ", ".join(f'"{part}" {source.columns[part]}' for part in table.partition_columns)
        stored, properties = STORED_AS[table.format]
        database.execute(
            f"create external table {name} ({columns}) "
            f"{f'partitioned by ({parts}) ' if parts else ''}{stored} "
            f"location {literal(table.location)} {properties}"
        )
        return [*done, f"created external table {name} ({table.format})"]
    if faults := drift(table, existing):
        raise UserError(
            f"external table {name} differs from its source in the dbt project "
            f"({'; '.join(faults)}): mend the source's YAML, or `drop table {name}` as its owner, "
            "which leaves the files as they are, and run again."
        )
    added = [column for column in table.columns if column not in existing.columns]
    for column in added:
        database.execute(f'alter table {name} add column "{column}" {table.columns[column]}')
    return [f"added column {column} to external table {name}" for column in added]


def drift(table: ExternalTable, existing: ExternalTable) -> list[str]:
    """How a table differs from the one that is wanted, but for its format and missing columns."""
    faults = []
    if existing.location.rstrip("/") != table.location.rstrip("/"):
        faults.append(f"it lies at {existing.location}, not at {table.location}")
    if existing.partition_columns != table.partition_columns:
        faults.append(
            f"it is partitioned by ({', '.join(existing.partition_columns)}), "
            f"not by ({', '.join(table.partition_columns)})"
        )
    added = [column for column in table.columns if column not in existing.columns]
    if table.format == "csv" and [*existing.columns, *added] != list(table.columns):
        faults.append("its columns are in another order, by which CSV is read")
    for column, kind in existing.columns.items():
        if column not in table.columns:
            faults.append(f"no source column {column}")
        elif _type(kind) != _type(table.columns[column]):
            faults.append(f"column {column} is {kind}, not {table.columns[column]}")
    return faults


def _type(declared: str) -> str:
    """One spelling of a type: the Glue catalog has Hive's names."""
    kind = declared.lower().replace("character varying", "varchar").replace(" ", "")
    return "binary" if kind.startswith(("varbyte", "binary")) else kind


def _registered(database: Database, schema: str) -> dict[str, set[str]]:
    """The days of the registered partitions, by table; values that are no day are left alone."""
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
            + literal(f"{settings.lake}/{source.name}/{source.partition_folder(day)}/")
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
