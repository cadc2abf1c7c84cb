"""Writes the lines of one event file as Parquet files, by folder of the lake and day.

Each record becomes a row of either `raw_events/` or `rejected_events/`. A line is one record, or
has several JSON objects side by side, which are a record each (`records.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.lake.landing.envelope import DAY, SCHEMA, partition_days
from include.lake.landing.event_files import blocks
from include.lake.landing.records import Records, parse_records
from include.settings import UserError

RAW_EVENTS, REJECTED_EVENTS = "raw_events", "rejected_events"

_REJECTED_TYPES: dict[str, pa.DataType] = {
    "line": pa.binary(),
    "source_file": pa.string(),
    "line_number": pa.int64(),
    "reason": pa.string(),
    "rejected_at": pa.int64(),
}
REJECTED_SCHEMA = pa.schema(_REJECTED_TYPES)
"""The columns of `rejected_events/`.

`line` holds the bytes of the record without the newline, and `line_number` counts lines from 1.
"""

LINES_AT_ONCE = 1 << 17
# Rows are held in memory up to BUFFER_BYTES, and a file that has reached FILE_BYTES is closed.
# Their sum is below 64 MB, the largest file size that is recommended for Redshift Spectrum.
BUFFER_BYTES = 32 << 20
FILE_BYTES = 24 << 20
OPEN_FILES = 64
_EPOCH = date(1970, 1, 1).toordinal()
# The columns with Parquet dictionaries. The ids and payloads of events rarely repeat, so a
# dictionary of them would be built in vain.
_DICTIONARIES = {
    RAW_EVENTS: [name for name in SCHEMA.names if name not in {"event_id", "event_data"}],
    REJECTED_EVENTS: ["source_file", "reason", "rejected_at"],
}


@dataclass(frozen=True)
class Staged:
    """The counts of one stream, and its SHA-256.

    `lines` is the number of its lines, and `landed + rejected` the number of its records. `files`
    are the paths of the Parquet files, relative to the folder.
    """

    sha256: str
    lines: int
    landed: int
    rejected: int
    files: list[str]


def stage(
    folder: Path,
    source: str,
    stream: IO[bytes],
    arrived_at: int,
    on_block: Callable[[], object],
    first_day: int,
) -> Staged:
    """Write the rows of a stream to Parquet files below `folder`.

    Events of days before `first_day`, which counts from 1970, are stored under the day of arrival.
    `on_block` is called after each block. Raises UserError if the stream is empty or cannot be
    read.
    """
    content = hashlib.sha256()
    newlines = records_found = 0
    is_line_open = False
    with _PartitionFiles(folder) as files:
        for block in blocks(source, stream):
            content.update(block)
            lines = block.split(b"\n")
            if not lines[-1]:
                lines.pop()
            for start in range(0, len(lines), LINES_AT_ONCE):
                some = lines[start : start + LINES_AT_ONCE]
                records = parse_records(some, arrived_at)
                records_found += records.count - len(some)
                days = partition_days(records.events, arrived_at, first_day)
                files.add(RAW_EVENTS, records.events, days)
                if records.rejected:
                    table = _rejected(records, source, newlines + start, arrived_at)
                    day = pa.repeat(arrived_at // DAY, table.num_rows)
                    files.add(REJECTED_EVENTS, table, day)
            # The lines are counted here independently of the parsing, for the check below.
            in_block = block.count(b"\n")
            is_line_open = not block.endswith(b"\n")
            newlines += in_block
            records_found += in_block + is_line_open
            on_block()
    line_count = newlines + is_line_open
    landed, rejected = files.rows[RAW_EVENTS], files.rows[REJECTED_EVENTS]
    if not line_count:
        raise UserError(f"{source} is empty, so there is nothing to land: check its origin.")
    if landed + rejected != records_found:
        raise UserError(
            f"{source} has {records_found:,} records, but {landed:,} would be landed and"
            f" {rejected:,} rejected: report this as a bug of the landing. None of its lines is"
            " landed."
        )
    return Staged(content.hexdigest(), line_count, landed, rejected, files.names)


def _rejected(records: Records, source: str, lines_before: int, arrived_at: int) -> pa.Table:
    indexes, texts, reasons = zip(*records.rejected, strict=True)
    return pa.table(
        [
            pa.array(texts, pa.binary()),
            pa.repeat(source, len(indexes)),
            pc.add(pa.array(indexes, pa.int64()), lines_before + 1),
            pa.array(reasons, pa.string()),
            pa.repeat(arrived_at, len(indexes)),
        ],
        schema=REJECTED_SCHEMA,
    )


class _PartitionFiles:
    """Parquet files by dataset (folder of the lake) and day.

    At most OPEN_FILES are open, and about BUFFER_BYTES are held in memory.
    """

    def __init__(self, folder: Path) -> None:
        self.rows = {RAW_EVENTS: 0, REJECTED_EVENTS: 0}
        self.names: list[str] = []
        self._folder = folder
        self._held: dict[str, list[tuple[pa.Table, pa.Array[Any]]]] = {}
        self._held_bytes = 0
        self._open: OrderedDict[PurePosixPath, tuple[pq.ParquetWriter, IO[bytes]]] = OrderedDict()
        self._count: dict[PurePosixPath, int] = {}

    def __enter__(self) -> _PartitionFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._write()
                while self._open:
                    self._close(next(iter(self._open)))
        finally:
            for writer, file in self._open.values():
                with contextlib.suppress(OSError, ValueError, pa.ArrowException):
                    writer.close()
                # Otherwise the writer closes again when it is garbage-collected, and warns.
                writer.is_open = False
                with contextlib.suppress(OSError):
                    file.close()

    def add(self, dataset: str, table: pa.Table, days: pa.Array[Any]) -> None:
        self._held.setdefault(dataset, []).append((table, days))
        self._held_bytes += table.nbytes
        if self._held_bytes >= BUFFER_BYTES:
            self._write()

    def _write(self) -> None:
        for dataset, held in self._held.items():
            table = pa.concat_tables([table for table, _ in held])
            days = pa.concat_arrays([days for _, days in held])
            for day, part in _by_day(table, days):
                self._write_part(dataset, partition_folder(dataset, day), part)
        self._held = {}
        self._held_bytes = 0

    def _write_part(self, dataset: str, partition: PurePosixPath, table: pa.Table) -> None:
        if partition not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._close(next(iter(self._open)))
            number = self._count[partition] = self._count.get(partition, -1) + 1
            name = f"{partition}/{number:04}.parquet"
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            file: IO[bytes] = path.open("wb")
            options: dict[str, Any] = {
                "compression": "zstd",
                "use_dictionary": _DICTIONARIES[dataset],
                "store_schema": False,
            }
            writer = pq.ParquetWriter(file, table.schema, **options)
            self._open[partition] = (writer, file)
            self.names.append(name)
        writer, file = self._open[partition]
        writer.write_table(table)
        self.rows[dataset] += table.num_rows
        if file.tell() >= FILE_BYTES:
            self._close(partition)

    def _close(self, partition: PurePosixPath) -> None:
        writer, file = self._open[partition]
        writer.close()
        file.close()
        del self._open[partition]


def _by_day(table: pa.Table, days: pa.Array[Any]) -> Iterator[tuple[int, pa.Table]]:
    """The rows of the table by day. Nothing is copied if the rows are in order of time already."""
    runs = pc.call_function("run_end_encode", [days])
    if len(runs.values) > 4 * len(runs.values.unique()):
        order = pc.sort_indices(days)
        table = table.combine_chunks().take(order)
        runs = pc.call_function("run_end_encode", [days.take(order)])
    parts: dict[int, list[pa.Table]] = {}
    start = 0
    for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        parts.setdefault(day, []).append(table.slice(start, end - start))
        start = end
    for day in sorted(parts):
        yield day, pa.concat_tables(parts[day])


def partition_folder(dataset: str, day: int) -> PurePosixPath:
    """`raw_events/year=2026/month=09/day=01` for a day counted from 1970."""
    found = date.fromordinal(_EPOCH + day)
    return PurePosixPath(
        dataset, f"year={found.year:04}", f"month={found.month:02}", f"day={found.day:02}"
    )
