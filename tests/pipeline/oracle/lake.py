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
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet, CSV or JSON-lines file; other files have no rows."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    elif name.endswith((".csv", ".csv.gz")):
        with _open(path) as stream:
            yield from csv.DictReader(stream)
    elif name.endswith((".json", ".jsonl", ".jsonl.gz")):
        with _open(path) as stream:
            for line in stream:
                if line.strip():
                    yield json.loads(line, parse_float=Decimal)


def table(lake: Path, source: str) -> Iterator[Row]:
    """Yield all rows of a source without partitions."""
    for path in files(lake / source):
        yield from rows(path)


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
