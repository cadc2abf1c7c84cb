"""Converts Parquet files of the ledger to text columns, with the number of each row as its line.

Values have the text that the views on DuckDB give them, with two exceptions. A floating or decimal
number that is an integer is the text of that integer, as in a JSON file. A row whose binary value
is no text in UTF-8 is bad.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include import memory
from include.lake.external_tables.duckdb import typed
from include.lake.ledger_rows.rows import (
    WHOLE_DIGITS,
    BadRow,
    FileFaultError,
    RawFile,
    Rows,
    bad_row,
    missing_remedy,
)
from include.settings import Settings
from include.warehouse.duckdb_file import DuckDB

ROWS_AT_ONCE = 50_000
_ROW_NUMBER = "file_row_number"
_NOT_UTF8 = "is_not_utf8"
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "autoinstall_known_extensions": False,
}


def parquet_rows(file: RawFile, columns: Mapping[str, bool]) -> Iterator[Rows]:
    """Convert a Parquet file in blocks of rows.

    `columns` maps each declared column, in lower case, to whether a file must have it. Raises
    FileFaultError if the file is damaged, if it lacks a column, if it has a column twice, or if it
    has a column with the name that DuckDB gives to the number of the row.
    """
    with file.path.open("rb") as stream:
        is_empty = not stream.read(1)
    if is_empty:
        raise FileFaultError(
            f"{file.name} has no bytes: write it again, or remove it from the lake."
        )
    try:
        _check(file, columns)
        yield from _converted(file, columns)
    except (pa.ArrowException, duckdb.Error, OSError, ValueError, MemoryError) as error:
        # The messages of both libraries can contain a value of the file.
        raise FileFaultError(
            f"{file.name} {_cause(error)}: write it again, or remove it from the lake."
        ) from None


def _cause(error: Exception) -> str:
    if "invalid string encoding" in str(error).lower():
        return "has a text that is not UTF-8, probably Latin-1 or Windows-1252"
    if isinstance(error, MemoryError):
        return "needs more memory than there is, because it is damaged or its row groups are large"
    return "is damaged or no Parquet file"


def _check(file: RawFile, columns: Mapping[str, bool]) -> None:
    """Check the names of the columns, and the pages with their checksums if they have any."""
    with pq.ParquetFile(
        file.path, page_checksum_verification=True, pre_buffer=False, buffer_size=1 << 20
    ) as parquet:
        names = parquet.schema_arrow.names
        lower = [name.lower() for name in names]
        if _ROW_NUMBER in lower:
            raise FileFaultError(
                f"{file.name} has a column {_ROW_NUMBER}, a name that is reserved for the number "
                "of the row: rename or remove the column in the file."
            )
        for column, is_required in columns.items():
            if is_required and column not in lower:
                raise FileFaultError(
                    f"{file.name} lacks the column {column}: {missing_remedy('column')}."
                )
            if lower.count(column) > 1:
                raise FileFaultError(
                    f"{file.name}: the column {column} occurs {lower.count(column)} times: remove "
                    "or rename all but one. Names in different letter case are equal."
                )
        wanted = [name for name in names if name.lower() in columns]
        # DuckDB reads some encodings that pyarrow does not, but it checks no checksums.
        with contextlib.suppress(pa.ArrowNotImplementedError):
            for _ in parquet.iter_batches(ROWS_AT_ONCE, columns=wanted, use_threads=False):
                pass


def _converted(file: RawFile, columns: Mapping[str, bool]) -> Iterator[Rows]:
    path = str(file.path).replace("'", "''")
    raw = f"read_parquet(['{path}'], {_ROW_NUMBER} = true, hive_partitioning = false)"
    memory_limit = memory.options(Settings.from_env(os.environ), read_only=True)["memory_limit"]
    with duckdb.connect(config=_CONFIG | {"memory_limit": memory_limit}) as connection:
        # The text of a timestamp with time zone must not depend on the machine.
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set enable_progress_bar = false")
        reader = f"({_plain(connection, raw, columns)})"
        wanted = {**dict.fromkeys(columns, "varchar"), _ROW_NUMBER: "bigint", _NOT_UTF8: "boolean"}
        query = typed(DuckDB(connection), wanted, reader)
        has_nul = " or ".join(f'coalesce(contains("{name}", chr(0)), false)' for name in columns)
        batches = connection.execute(
            f"select * replace ({_ROW_NUMBER} + 1 as {_ROW_NUMBER}), {has_nul} from ({query})"
        ).to_arrow_reader(ROWS_AT_ONCE)
        for batch in batches:
            is_bad = pc.or_(batch.column(len(columns) + 1), batch.column(len(columns) + 2))
            good, bad = batch, list[BadRow]()
            if pc.any(is_bad).as_py():
                bad = list(_bad_rows(batch.filter(is_bad), tuple(columns)))
                good = batch.filter(pc.invert(is_bad))
            yield Rows(good.column(len(columns)), good.columns[: len(columns)], bad)


def _plain(connection: duckdb.DuckDBPyConnection, raw: str, columns: Mapping[str, bool]) -> str:
    """A query for the declared columns that the file has, in which integers have no point."""
    kinds = {
        f'"{name}"': str(kind).upper()
        for name, kind, *_ in connection.execute(f"describe from {raw}").fetchall()
        if name.lower() in columns
    }
    selected = [f"{_number(name, kind)} as {name}" for name, kind in kinds.items()]
    binary = [
        f"({name} is not null and try(decode({name})) is null)"
        for name, kind in kinds.items()
        if kind == "BLOB"
    ]
    is_not_utf8 = f"{' or '.join(binary) or 'false'} as {_NOT_UTF8}"
    return f"select {', '.join([*selected, _ROW_NUMBER, is_not_utf8])} from {raw}"


def _number(name: str, kind: str) -> str:
    """The SQL for a column, as text if its type is that of numbers with decimals."""
    text = f"cast({name} as varchar)"
    if kind.startswith("DECIMAL"):
        return f"regexp_replace({text}, '[.]0+$', '')"
    if kind in {"DOUBLE", "FLOAT"}:
        # The shortest text of a number, and not its exact value, is what other formats contain.
        whole = f"cast(try_cast({text} as decimal({WHOLE_DIGITS}, 0)) as varchar)"
        is_whole = f"{name} = trunc({name}) and abs({name}) < 1e{WHOLE_DIGITS}"
        return f"case when {is_whole} then coalesce({whole}, {text}) else {text} end"
    return name


def _bad_rows(batch: pa.RecordBatch, columns: tuple[str, ...]) -> Iterator[BadRow]:
    """Bad rows, whose text is JSON, for rows with bytes or characters that Redshift cannot hold."""
    for *values, line, is_not_utf8, _ in zip(
        *(column.to_pylist() for column in batch.columns), strict=True
    ):
        text = json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False)
        yield bad_row(line, "not_utf8" if is_not_utf8 else "nul_character", text)
