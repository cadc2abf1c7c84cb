"""Writes the rows of raw files to one Parquet file."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.lake.ledger_rows.delimited import delimited_rows
from include.lake.ledger_rows.json_lines import json_rows
from include.lake.ledger_rows.parquet_rows import parquet_rows
from include.lake.ledger_rows.rows import (
    REASONS,
    BadRow,
    FileFaultError,
    RawFile,
    RowCounts,
    Rows,
    bad_row,
)
from include.lake.sources import ROW_COLUMNS

ROWS_AT_ONCE = 50_000
FILE_NAME, LINE_NUMBER, PROBLEM, RAW_ROW = ROW_COLUMNS
LONGEST_VALUE = 1024
"""The bytes that a column of a source holds (`varchar(1024)`). Spectrum cuts a longer value."""

_Parser = Callable[[RawFile, Mapping[str, bool]], Iterator[Rows]]
_PARSERS: dict[str, _Parser] = {
    ".csv": delimited_rows,
    ".tsv": delimited_rows,
    ".json": json_rows,
    ".jsonl": json_rows,
    ".ndjson": json_rows,
}


def write_rows(
    inputs: Sequence[RawFile], source_name: str, columns: Mapping[str, bool], target: Path
) -> RowCounts:
    """Write the good and the bad rows of raw files to one Parquet file.

    `columns` maps each declared column, in lower case, to whether a file must have it. The Parquet
    file has the declared columns as text, the name of the raw file, the number of the row's first
    line (in a Parquet file: of the row), and for a bad row a key of `REASONS` as its problem and
    the first characters of its text. A bad row is null in the declared columns.

    A row with a value of more than `LONGEST_VALUE` bytes is bad, too.

    Raises FileFaultError, after all files were parsed, for those that cannot be read or that have
    bad rows only; then there is no target file.
    """
    good = bad = 0
    bad_files: list[str] = []
    faults: list[str] = []
    try:
        with _Writer(columns, target) as writer:
            for file in inputs:
                try:
                    counts = _write_file(writer, file, source_name, columns)
                except FileFaultError as error:
                    faults += error.messages
                    continue
                good += counts.good
                bad += counts.bad
                bad_files += counts.bad_files
        if faults:
            raise FileFaultError(*faults)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return RowCounts(good, bad, bad_files)


def _write_file(
    writer: _Writer, file: RawFile, source_name: str, columns: Mapping[str, bool]
) -> RowCounts:
    good = bad = 0
    first_bad: BadRow | None = None
    for parsed in _parsed(file, source_name, columns):
        rows = _of_length(parsed, tuple(columns))
        writer.add(file.name, rows)
        good += len(rows.lines)
        bad += len(rows.bad)
        if rows.bad:
            found = min(rows.bad, key=lambda row: row.line)
            first_bad = min(first_bad or found, found, key=lambda row: row.line)
    if first_bad and not good:
        raise FileFaultError(
            f"{file.name}, line {first_bad.line}: {REASONS[first_bad.reason]} "
            f"({first_bad.reason}), and no row of the file is valid: correct the file, or remove "
            "it from the lake."
        )
    return RowCounts(good, bad, [file.name] if bad else [])


def _of_length(rows: Rows, names: Sequence[str]) -> Rows:
    """The rows, of which those with a value of more than `LONGEST_VALUE` bytes are bad."""
    is_long = functools.reduce(pc.or_, map(_is_long, rows.columns))
    if not pc.any(is_long).as_py():
        return rows
    values = [column.filter(is_long).to_pylist() for column in rows.columns]
    bad = [
        bad_row(
            line,
            "text_too_long",
            json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False),
        )
        for line, *row in zip(rows.lines.filter(is_long).to_pylist(), *values, strict=True)
    ]
    is_kept = pc.invert(is_long)
    kept = [column.filter(is_kept) for column in rows.columns]
    return Rows(rows.lines.filter(is_kept), kept, [*rows.bad, *bad])


def _is_long(column: pa.Array[Any]) -> pa.BooleanArray:
    lengths = pc.call_function("binary_length", [column])
    is_long = pc.call_function("greater", [lengths, pa.scalar(LONGEST_VALUE)])
    return cast(pa.BooleanArray, pc.call_function("coalesce", [is_long, pa.scalar(False)]))


def _parsed(file: RawFile, source_name: str, columns: Mapping[str, bool]) -> Iterator[Rows]:
    try:
        yield from _parser(file, source_name)(file, columns)
    except OSError as error:
        raise FileFaultError(
            f"{file.name} cannot be read ({error.strerror or type(error).__name__}): make it "
            "readable, or remove it from the lake."
        ) from None


def _parser(file: RawFile, source_name: str) -> _Parser:
    name = file.name.lower()
    if name.endswith(".parquet"):
        return parquet_rows
    ending = "." + name.removesuffix(".gz").rpartition(".")[2]
    if ending not in _PARSERS:
        raise FileFaultError(
            f"{file.name} is no file of source {source_name}: its name must end in "
            f"{', '.join(_PARSERS)}, each also with .gz, or in .parquet."
        )
    return _PARSERS[ending]


class _Writer:
    """The target file. Rows are held until there are enough for a row group."""

    def __init__(self, columns: Mapping[str, bool], target: Path) -> None:
        fields: dict[str, pa.DataType] = dict.fromkeys(columns, pa.string())
        fields |= {FILE_NAME: pa.string(), LINE_NUMBER: pa.int64()}
        fields |= {PROBLEM: pa.string(), RAW_ROW: pa.string()}
        self._schema = pa.schema(list(fields.items()))
        self._columns = len(columns)
        self._held: list[pa.RecordBatch] = []
        options: dict[str, Any] = {"compression": "zstd", "store_schema": False}
        self._writer = pq.ParquetWriter(target, self._schema, **options)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            self._writer.close()

    def add(self, name: str, rows: Rows) -> None:
        """Add the good and the bad rows of a file."""
        count, none = len(rows.lines), pa.nulls(len(rows.lines), pa.string())
        if count:
            self._hold([*rows.columns, pa.repeat(name, count), rows.lines, none, none])
        if rows.bad:
            count = len(rows.bad)
            none = pa.nulls(count, pa.string())
            self._hold(
                [
                    *[none] * self._columns,
                    pa.repeat(name, count),
                    pa.array([row.line for row in rows.bad], pa.int64()),
                    pa.array([row.reason for row in rows.bad], pa.string()),
                    pa.array([row.text for row in rows.bad], pa.string()),
                ]
            )
        if sum(batch.num_rows for batch in self._held) >= ROWS_AT_ONCE:
            self._flush()

    def _hold(self, columns: list[Any]) -> None:
        self._held.append(pa.record_batch(columns, schema=self._schema))

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held, self._schema))
            self._held = []
