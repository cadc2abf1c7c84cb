"""Writes small lakes by hand, in the shape that landing gives them, without using landing."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

EVENT_COLUMNS: dict[str, pa.DataType] = {
    "event_id": pa.string(),
    "event_type": pa.string(),
    "event_name": pa.string(),
    "event_version": pa.string(),
    "event_timestamp": pa.int64(),
    "app_version": pa.string(),
    "application_id": pa.string(),
    "application_name": pa.string(),
    "event_data": pa.string(),
    "metadata": pa.string(),
}
REJECTED_COLUMNS: dict[str, pa.DataType] = {
    "line": pa.binary(),
    "source_file": pa.string(),
    "line_number": pa.int64(),
    "reason": pa.string(),
    "rejected_at": pa.int64(),
}

Row = dict[str, object]


def epoch(at: str) -> int:
    """The epoch second of an ISO time, which is UTC."""
    return int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp())


def folder(day: date) -> str:
    """The partition of a day."""
    return f"year={day:%Y}/month={day:%m}/day={day:%d}"


class HandLake:
    """A lake under construction: add rows, then `write` them; application `a` unless told."""

    def __init__(self, root: Path) -> None:
        """Everything is written below `root`."""
        self.root = root
        self._rows: dict[tuple[str, date], list[Row]] = defaultdict(list)
        self._count = 0

    def raw(self, day: date, row: Row) -> None:
        """Adds a raw event row to the partition of a day, exactly as it is given."""
        self._rows["raw_events", day].append(row)

    def event(self, at: str | int, kind: str = "login", /, **values: object) -> Row:
        """Adds an event at an ISO time or epoch second; further values go into `event_data`.

        `event_id`, `application_id`, `app_version`, `arrival` (epoch second), `metadata` and
        `day` (the partition) are taken out of them.
        """
        self._count += 1
        seconds = at if isinstance(at, int) else epoch(at)
        own = datetime.fromtimestamp(seconds, tz=UTC).date()
        day = values.pop("day", own)
        arrival = values.pop("arrival", seconds + 5)
        metadata = {"processing_timestamp": arrival} | dict(_mapping(values.pop("metadata", {})))
        row: Row = {
            "event_id": values.pop("event_id", f"e{self._count}"),
            "event_type": kind,
            "event_name": kind,
            "event_timestamp": seconds,
            "application_id": values.pop("application_id", "a"),
            "app_version": values.pop("app_version", None),
            "event_data": json.dumps(values),
            "metadata": json.dumps(metadata),
        }
        assert isinstance(day, date)
        self.raw(day, row)
        return row

    def rejected(self, day: date, lines: int) -> None:
        """Adds rejected lines to the day of their landing."""
        for number in range(1, lines + 1):
            row: Row = {"line": b"?", "line_number": number, "reason": "not_json"}
            self._rows["rejected_events", day].append(row)

    def table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Writes the file of a ledger or cost folder, in the format that its name says."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif path.suffix == ".csv":
            lines = [list(rows[0]), *(row.values() for row in rows)]
            quoted = (",".join(f'"{value}"' for value in line) + "\n" for line in lines)
            path.write_text("".join(quoted), encoding="utf-8")
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def write(self) -> Path:
        """Writes the event partitions and returns the root."""
        for (source, day), rows in self._rows.items():
            target = self.root / source / folder(day)
            target.mkdir(parents=True, exist_ok=True)
            columns = EVENT_COLUMNS if source == "raw_events" else REJECTED_COLUMNS
            pq.write_table(
                pa.Table.from_pylist(rows, schema=pa.schema(columns)), target / "part-0.parquet"
            )
        self._rows.clear()
        return self.root


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict)
    return value


def envelopes(path: Path) -> Iterator[Row]:
    """The good lines of an envelope file as raw rows that arrived a minute after they happened."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            envelope = json.loads(line)
            event = envelope["event"]
            columns = {name: event.get(name) for name in EVENT_COLUMNS}
            yield columns | {
                "application_id": envelope["application_id"],
                "event_data": json.dumps(event.get("event_data")),
                "metadata": json.dumps({"processing_timestamp": event["event_timestamp"] + 60}),
            }
