"""Writes the rows of a partition's raw files as one Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.lake.ledger_rows.delimited import parse_delimited
from include.lake.ledger_rows.json_lines import parse_json_lines
from include.lake.ledger_rows.rows import FileFaultError, FileRows, GoodRow, decoded, unpacked

__all__ = ["FileFaultError", "RawFile", "RowCounts", "write_rows"]


@dataclass(frozen=True, slots=True)
class RawFile:
    """A raw file: its name as in the column `file_name`, and the path of a local copy."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many rows of a partition are good, and how many are bad."""

    good: int
    bad: int


def write_rows(
    inputs: Sequence[RawFile], source_name: str, columns: Mapping[str, bool], target: Path
) -> RowCounts:
    """Parse the raw files of a partition and write their rows to `target`."""
    table: dict[str, list[object]] = {
        name: [] for name in (*columns, "file_name", "line_number", "problem", "raw_row")
    }
    good = bad = 0
    for file in inputs:
        rows = _parsed(file, columns)
        if rows.bad and not rows.good:
            raise FileFaultError(f"{file.name} of source {source_name} has no valid row.")
        for row in rows.good:
            for name, value in zip(columns, row.values, strict=True):
                table[name].append(value)
        for wrong in rows.bad:
            for name in columns:
                table[name].append(None)
        everything = [*((row.line, None, None) for row in rows.good)]
        everything += [(row.line, row.reason, row.text) for row in rows.bad]
        for line, problem, text in everything:
            table["file_name"].append(file.name)
            table["line_number"].append(line)
            table["problem"].append(problem)
            table["raw_row"].append(text)
        good += len(rows.good)
        bad += len(rows.bad)
    schema = pa.schema(
        [(name, pa.int64() if name == "line_number" else pa.string()) for name in table]
    )
    pq.write_table(pa.table(table, schema=schema), target)
    return RowCounts(good, bad)


def _parsed(file: RawFile, columns: Mapping[str, bool]) -> FileRows:
    lower = file.name.lower()
    if lower.endswith(".parquet"):
        try:
            read = pq.read_table(file.path)
        except (pa.ArrowException, OSError) as error:
            raise FileFaultError(f"{file.name} is no readable Parquet file ({error}).") from None
        read = read.rename_columns([name.lower() for name in read.column_names])
        missing = [name for name, must in columns.items() if must and name not in read.column_names]
        if missing:
            raise FileFaultError(f"{file.name}: column {missing[0]} is missing.")
        lists = [
            pc.cast(read[name], pa.string()).to_pylist()
            if name in read.column_names
            else [None] * len(read)
            for name in columns
        ]
        return FileRows([GoodRow(n, v) for n, v in enumerate(zip(*lists, strict=True), 1)], [])
    text = decoded(file.name, unpacked(file.name, file.path.read_bytes()))
    parse = parse_json_lines if ".json" in lower or ".ndjson" in lower else parse_delimited
    return parse(file.name, text, columns)
