"""Converts Parquet files of the ledger to text columns, with the number of each row as its line."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.lake.external_tables.duckdb import typed
from include.lake.ledger_rows.rows import (
    BadRow,
    FileFaultError,
    RawFile,
    Rows,
    bad_row,
    missing_remedy,
)
from include.warehouse.duckdb_file import DuckDB

ROWS_AT_ONCE = 50_000
_ROW_NUMBER = "file_row_number"
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "autoinstall_known_extensions": False,
}


def parquet_rows(file: RawFile, columns: Mapping[str, bool]) -> Iterator[Rows]:
    """Convert a Parquet file in blocks of rows.

    `columns` maps each declared column, in lower case, to whether a file must have it. Raises
    FileFaultError if the file is damaged, if it lacks a column, or if it has a column twice.
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
        # DuckDB reads some encodings that pyarrow does not read, but it checks no checksums.
        with contextlib.suppress(pa.ArrowNotImplementedError):
            for _ in parquet.iter_batches(ROWS_AT_ONCE, columns=wanted, use_threads=False):
                pass


def _converted(file: RawFile, columns: Mapping[str, bool]) -> Iterator[Rows]:
    path = str(file.path).replace("'", "''")
    reader = f"read_parquet(['{path}'], {_ROW_NUMBER} = true, hive_partitioning = false)"
    with duckdb.connect(config=_CONFIG) as connection:
        # The text of a timestamp with time zone must not depend on the machine.
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set enable_progress_bar = false")
        wanted = {**dict.fromkeys(columns, "varchar"), _ROW_NUMBER: "bigint"}
        query = typed(DuckDB(connection), wanted, reader)
        has_nul = " or ".join(f'coalesce(contains("{name}", chr(0)), false)' for name in columns)
        batches = connection.execute(
            f"select * replace ({_ROW_NUMBER} + 1 as {_ROW_NUMBER}), {has_nul} from ({query})"
        ).to_arrow_reader(ROWS_AT_ONCE)
        for batch in batches:
            has_nul_mask = batch.column(len(columns) + 1)
            bad: list[BadRow] = []
            if pc.any(has_nul_mask).as_py():
                bad = list(_with_nul(batch.filter(has_nul_mask), tuple(columns)))
                batch = batch.filter(pc.invert(has_nul_mask))  # noqa: PLW2901
            yield Rows(batch.column(len(columns)), batch.columns[: len(columns)], bad)


def _with_nul(batch: pa.RecordBatch, columns: tuple[str, ...]) -> Iterator[BadRow]:
    """Bad rows, whose text is JSON, for rows with a NUL character, which Redshift cannot hold."""
    for *values, line, _ in zip(*(column.to_pylist() for column in batch.columns), strict=True):
        text = json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False)
        yield bad_row(line, "nul_character", text)
