"""The external tables on DuckDB: schema `spectrum` with one view per source.

Each view reads the Parquet files of its source, or of its parsed rows, and has the declared columns
in the declared order and types, so that `source()` gives the same rows on DuckDB and Redshift. A
source without files is an empty view.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from include.engine_text import without_values
from include.lake.listing import Listing
from include.lake.sources import Source
from include.lake.storage.lake import Lake
from include.settings import UserError
from include.warehouse.database import Database

TYPES = {"varbyte": "blob"}
"""The types that have other names on DuckDB than on Redshift."""


@dataclass(frozen=True)
class FileGroup:
    """Files that one call of DuckDB's table function reads.

    If they have the `same_schema`, DuckDB only opens the first file and those that a query needs.
    Else it opens all files before each query. For 17,520 files that takes a second.
    """

    paths: Sequence[str]
    same_schema: bool


def by_schema(
    listing: Listing, schemas: Mapping[tuple[str, str], str]
) -> dict[str, list[FileGroup]]:
    """The files of each source in groups of one schema.

    `schemas` maps a source and a day to a name of the schema that all files of the day have. Days
    with an empty name have files of several schemas, and form a group of their own.
    """
    paths: dict[str, dict[str, list[str]]] = {}
    for key, files in {**listing.older, **listing.files}.items():
        if key in schemas:
            own = paths.setdefault(key[0], {}).setdefault(schemas[key], [])
            own += [file.path for file in files]
    return {
        source: [FileGroup(own, same_schema=bool(schema)) for schema, own in sorted(found.items())]
        for source, found in paths.items()
    }


def create_views(
    database: Database,
    lake: Lake,
    schema_prefix: str,
    declared: Iterable[Source],
    groups: Mapping[str, Sequence[FileGroup]] | None = None,
) -> None:
    """Create or replace the view of each declared source in schema `spectrum` with the prefix.

    `groups` are the files by source. The files of other sources are listed, and matched by the
    names of their columns. Raises UserError for a file that cannot be read, with DuckDB's reason,
    which names the file.
    """
    schema = f"{schema_prefix}spectrum"
    database.execute(f"create schema if not exists {schema}")
    for source in declared:
        if groups and source.name in groups:
            own = groups[source.name]
        else:
            files = lake.files(replace(source, name=source.rows_folder(schema_prefix)))
            own = [FileGroup([file.path for file in files], same_schema=False)]
        try:
            selects = [
                typed(database, source.columns, reader)
                for group in own
                for reader in readers(source, group.paths, same_schema=group.same_schema)
            ]
        except duckdb.Error as error:
            reason = without_values(str(error).splitlines()[0], lake=lake.root)
            raise UserError(
                f"{lake.root}/{source.name} has a file that cannot be read ({reason}): "
                "replace or remove that file."
            ) from None
        nulls = ", ".join(
            f"cast(null as {_type(declared)}) as {_name(name)}"
            for name, declared in source.columns.items()
        )
        body = "\nunion all\n".join(selects) or f"select {nulls} where false"
        database.execute(f"create or replace view {schema}.{source.name} as\n{body}")


def readers(
    source: Source, paths: Iterable[str], *, hive: bool = True, same_schema: bool = False
) -> list[str]:
    """The call of DuckDB's table function for Parquet files, or none if there are no files.

    A call names each file instead of a pattern: all models of a run must read the same files, even
    if others land during the run, and no hidden ones. With `hive`, the partition columns are
    read from the names of the folders. Columns are matched by name unless all files have the
    `same_schema`.
    """
    files = sorted(_file(path) for path in paths)
    if not files:
        return []
    partitioned = f"hive_partitioning = {'true' if hive and source.partition_columns else 'false'}"
    return [
        f"read_parquet([{', '.join(files)}], "
        f"union_by_name = {'false' if same_schema else 'true'}, {partitioned}, "
        "hive_types_autocast = false)"
    ]


def typed(
    database: Database, columns: Mapping[str, str], reader: str, *, keep_others: bool = False
) -> str:
    """A query on a reader for the given columns, each converted to its declared type.

    A column that no file has is null. With `keep_others`, the query also returns all other columns
    of the files.
    """
    described = database.rows(f"describe select * from {reader}")
    kinds = {row[0].lower(): str(row[1]).upper() for row in described}
    selected = [
        f"{_converted(_name(name), kinds.get(name), _type(declared))} as {_name(name)}"
        for name, declared in columns.items()
    ]
    if keep_others:
        selected += [_name(row[0]) for row in described if row[0].lower() not in columns]
    return f"select {', '.join(selected)} from {reader}"


def _converted(column: str, kind: str | None, wanted: str) -> str:
    """The SQL for a column as the wanted type. `kind` is its type, or None if no file has it."""
    if kind is None:
        column = "null"
    elif wanted == "varchar" and kind.endswith(("]", ")")) and not kind.startswith("DECIMAL"):
        # A struct, map or list becomes JSON text again.
        column = f"to_json({column})"
    elif wanted == "varchar" and kind == "BLOB":
        # Some writers of Parquet do not declare that bytes are text.
        return f"coalesce(try(decode({column})), cast({column} as varchar))"
    elif wanted == "bigint" and kind in {"DOUBLE", "FLOAT"}:
        # Landing also rounds fractions of a second down.
        column = f"floor({column})"
    return f"cast({column} as {wanted})"


def _name(name: str) -> str:
    return f'"{name}"'


def _file(path: str) -> str:
    """The SQL of a path; DuckDB would read `*`, `?` and `[` without brackets as a pattern."""
    return "'" + re.sub(r"[*?[]", r"[\g<0>]", path).replace("'", "''") + "'"


def _type(declared: str) -> str:
    base = declared.split("(", maxsplit=1)[0]
    return TYPES.get(base, base)
