"""The `spectrum` schema on DuckDB: a view per source over its folder, as Spectrum has a table.

Every view carries the columns that the source declares, in that order and type, so that
`source()` means the same on both engines; a folder without files is an empty view.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from include.lake.listing import FORMATS, Source, data_ending, data_files
from include.settings import UserError

TYPES = {"varbyte": "blob"}
"""Redshift's names of types for which DuckDB has another."""


def create_views(
    connection: duckdb.DuckDBPyConnection, lake: Path, schema: str, declared: list[Source]
) -> None:
    """Create or replace the view of every source; `schema` includes the prefix.

    Raises UserError for a file that cannot be read, with DuckDB's reason, which names the file.
    """
    connection.execute(f"create schema if not exists {schema}")
    for source in declared:
        folder = lake / source.name
        try:
            selects = [_select(connection, source, reader) for reader in _readers(folder, source)]
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{folder} has a file that cannot be read ({reason}): replace or remove that file."
            ) from None
        nothing = ", ".join(
            f"cast(null as {_type(declared)}) as {_name(name)}"
            for name, declared in source.columns.items()
        )
        body = "\nunion all\n".join(selects) or f"select {nothing} where false"
        connection.execute(f"create or replace view {schema}.{source.name} as\n{body}")


def _readers(folder: Path, source: Source) -> list[str]:
    """A table function call per format that occurs below the folder, over its files by name.

    By name, not by pattern: so that all models of a run read the same files, whatever lands
    meanwhile, and none of a folder that the listing passes over.
    """
    files: dict[str, list[str]] = {}
    for entry in data_files(folder, source.formats()):
        if ending := data_ending(entry.name):
            files.setdefault(FORMATS[ending], []).append(_literal(entry.path))
    hive = f"hive_partitioning = {'true' if source.partition_columns else 'false'}"
    own_columns = ", ".join(
        f"{_name(name)}: 'varchar'"
        for name in source.columns
        if name not in source.partition_columns
    )
    options = {
        "parquet": "union_by_name = true",
        "csv": "union_by_name = true, all_varchar = true, header = true",
        "json": f"format = 'newline_delimited', columns = {{{own_columns}}}",
    }
    return [
        f"read_{kind}([{', '.join(sorted(files[kind]))}], {option}, {hive}, "
        "hive_types_autocast = false)"
        for kind, option in options.items()
        if kind in files
    ]


def _select(connection: duckdb.DuckDBPyConnection, source: Source, reader: str) -> str:
    """The declared columns out of one reader; one that no file has is null."""
    there = {
        row[0].lower() for row in connection.execute(f"describe select * from {reader}").fetchall()
    }
    values = {name: _name(name) if name in there else "null" for name in source.columns}
    columns = ", ".join(
        f"cast({values[name]} as {_type(declared)}) as {_name(name)}"
        for name, declared in source.columns.items()
    )
    return f"select {columns} from {reader}"


def _name(name: str) -> str:
    return f'"{name}"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _type(declared: str) -> str:
    base = declared.split("(", maxsplit=1)[0]
    return TYPES.get(base, base)
