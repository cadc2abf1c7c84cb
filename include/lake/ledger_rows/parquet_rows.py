"""Converts Parquet files of the ledger to text columns, with the number of each row as its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.external_tables.duckdb import typed
from include.lake.ledger_rows.rows import FileFaultError, RawFile, Rows
from include.warehouse.duckdb_file import DuckDB

ROWS_AT_ONCE = 50_000
_ROW_NUMBER = "file_row_number"


def parquet_rows(file: RawFile, columns: Mapping[str, bool]) -> Iterator[Rows]:
    """Convert a Parquet file in blocks of rows.

    `columns` maps each declared column, in lower case, to whether a file must have it. Raises
    FileFaultError if the file is damaged, if it lacks a column, or if it has a column twice.
    """
    if not file.path.stat().st_size:
        raise FileFaultError(
            f"{file.name} has no bytes: write it again, or remove it from the lake."
        )
    try:
        _check(file, columns)
        yield from _converted(file, columns)
    except (pa.ArrowException, duckdb.Error, OSError):
        # The messages of both libraries can contain a value.
        raise FileFaultError(
            f"{file.name} is damaged or no Parquet file: write it again, or remove it from the "
            "lake."
        ) from None


def _check(file: RawFile, columns: Mapping[str, bool]) -> None:
    """Check the names of the columns, and the checksums of the pages that have one."""
    with pq.ParquetFile(file.path, page_checksum_verification=True) as parquet:
        names = parquet.schema_arrow.names
        lower = [name.lower() for name in names]
        for column, is_required in columns.items():
            if is_required and column not in lower:
                raise FileFaultError(
                    f"{file.name} lacks the column {column}: rename the column in the file, or "
                    "add it."
                )
            if lower.count(column) > 1:
                raise FileFaultError(
                    f"{file.name}: the column {column} occurs {lower.count(column)} times, in "
                    "different letter case: remove or rename all but one."
                )
        wanted = [name for name in names if name.lower() in columns]
        for _ in parquet.iter_batches(ROWS_AT_ONCE, columns=wanted, use_threads=False):
            pass


def _converted(file: RawFile, columns: Mapping[str, bool]) -> Iterator[Rows]:
    path = str(file.path).replace("'", "''")
    reader = f"read_parquet(['{path}'], {_ROW_NUMBER} = true, hive_partitioning = false)"
    with duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False}) as connection:
        # The text of a timestamp with time zone must not depend on the machine.
        connection.execute("set TimeZone = 'UTC'")
        wanted = {**dict.fromkeys(columns, "varchar"), _ROW_NUMBER: "bigint"}
        query = typed(DuckDB(connection), wanted, reader)
        for batch in connection.execute(query).fetch_record_batch(ROWS_AT_ONCE):
            *texts, numbers = batch.columns
            yield Rows(pa.compute.add(numbers, 1), texts, [])
