"""Reads the rows of the lake's files, without checking their content."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TextIO

import pyarrow.parquet as pq

from tests.pipeline.oracle.values import iso_day

Row = Mapping[str, object]


class Placed(NamedTuple):
    """A row and the day of its partition."""

    day: date
    row: Row


def files(folder: Path) -> list[Path]:
    """All files below a folder, except those with a leading `_` or `.` at any level."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts)
    )


def _open(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet, CSV, TSV or JSON-lines file, with names in lower case.

    A row of a text file that cannot be read has only the key `problem`, with the reason.
    """
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                yield _lower(row)
    elif name.endswith((".csv", ".tsv")):
        with _open(path) as stream:
            yield from _delimited(stream)
    elif name.endswith((".json", ".jsonl", ".ndjson")):
        with _open(path) as stream:
            for line in filter(str.strip, stream):
                try:
                    yield _lower(json.loads(line, parse_float=Decimal))
                except ValueError:
                    yield {"problem": "not_json"}


def _lower(row: Row) -> Row:
    return {name.lower(): value for name, value in row.items()}


def _delimited(stream: TextIO) -> Iterator[Row]:
    """The rows below a header, whose most frequent separator is that of the file."""
    first = stream.readline()
    separator = max(",;\t|", key=first.count)
    (names,) = csv.reader([first], delimiter=separator)
    for fields in csv.reader(stream, delimiter=separator):
        if len(fields) == len(names):
            yield _lower(dict(zip(names, fields, strict=True)))
        elif fields:
            kind = "few" if len(fields) < len(names) else "many"
            yield {"problem": f"too_{kind}_fields"}


def table(lake: Path, source: str) -> Iterator[Row]:
    """Yield the rows of a source without partitions that can be read."""
    for path in files(lake / source):
        yield from (row for row in rows(path) if "problem" not in row)


def problems(lake: Path, source: str) -> Iterator[str]:
    """Yield the problem of each row of a source without partitions that cannot be read."""
    for path in files(lake / source):
        yield from (str(row["problem"]) for row in rows(path) if "problem" in row)


def _partition(folder: Path, path: Path) -> date | None:
    """The day named by `date=YYYY-MM-DD` or by `year=/month=/day=` folders."""
    parts = path.relative_to(folder).parts[:-1]
    keys = dict(part.split("=", 1) for part in parts if "=" in part)
    if "date" in keys:
        return iso_day(keys["date"])
    try:
        return date(int(keys["year"]), int(keys["month"]), int(keys["day"]))
    except (KeyError, ValueError):
        return None


def partitions(lake: Path, source: str) -> Iterator[Placed]:
    """Yield all rows of a source with partitions; files outside partitions are left out."""
    folder = lake / source
    for path in files(folder):
        day = _partition(folder, path)
        if day is not None:
            for row in rows(path):
                yield Placed(day, row)
