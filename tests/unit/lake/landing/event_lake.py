"""Event lines, and the rows of a lake, for the tests of the landing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from include.lake.landing.envelope import SCHEMA
from include.lake.landing.parquet_files import REJECTED_SCHEMA

ARRIVED = 1_790_000_000
TIMESTAMP = 1_788_246_655
DAY = 86_400
Command = Callable[..., tuple[int, str, str]]
"""Runs `python -m include.lake land` with arguments; returns exit code, output and error."""


def event_line(number: int, timestamp: object = TIMESTAMP) -> bytes:
    """An event whose id is `e` and the number."""
    data = {"user_id": f"p{number % 7}"}
    event = {"event_id": f"e{number}", "event_timestamp": timestamp, "event_data": data}
    return json.dumps({"event": event, "application_id": "a"}).encode()


def event_text(count: int = 30, days: int = 3) -> bytes:
    """The text of an event file: events on a number of days, then three lines to reject."""
    lines = [event_line(number, TIMESTAMP + number % days * DAY) for number in range(count)]
    return b"\n".join([*lines, b"not json", b"", b"[]"]) + b"\n"


def rows(lake: Path, dataset: str = "raw_events") -> list[tuple[Any, ...]]:
    """Every row of a folder of the lake, each after the path of its file."""
    found = []
    for path in lake.joinpath(dataset).rglob("*"):
        if path.is_file():
            table = pq.ParquetFile(path).read()
            assert table.schema == (SCHEMA if dataset == "raw_events" else REJECTED_SCHEMA)
            place = str(path.relative_to(lake))
            found += [(place, *row.values()) for row in table.to_pylist()]
    return sorted(found, key=repr)


def all_rows(lake: Path) -> list[list[tuple[Any, ...]]]:
    """The rows of `raw_events/`, and those of `rejected_events/`."""
    return [rows(lake, "raw_events"), rows(lake, "rejected_events")]
