"""A small lake of events, and the rows in it, for the tests of the compaction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from include.manifest import Manifest

DAYS = ("raw_events/year=2026/month=09/day=01", "raw_events/year=2026/month=09/day=02")
TEXT = "varchar(1024)"
EXPECTED = [(f"{day}-{name}", 1) for day in DAYS for name in "abc"]
"""The rows of `write_events`, sorted. The first half is that of the first day."""


def manifest() -> Manifest:
    """A manifest with a source of events and two of the ledger."""
    columns = {
        "raw_events": {"event_id": TEXT, "event_timestamp": "bigint"},
        "game_transactions": {"betid": TEXT},
        "games": {"id": TEXT},
    }
    partitions = {
        "raw_events": ["year", "month", "day"],
        "game_transactions": ["date"],
        "games": [],
    }
    declared = {
        f"source.p.l.{name}": {
            "name": name,
            "config": {"meta": {"partition_columns": partitions[name]}},
            "columns": {
                column: {"data_type": kind}
                for column, kind in (own | dict.fromkeys(partitions[name], TEXT)).items()
            },
        }
        for name, own in columns.items()
    }
    return Manifest({"nodes": {}, "sources": declared})


def export(path: Path, rows: Sequence[tuple[object, object]], kind: str = "bigint") -> None:
    """Write rows of event id and timestamp as a file, which replaces one of the same name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"bigint": pa.int64(), "integer": pa.int32(), "varchar": pa.string()}
    table = pa.table(
        {
            "event_id": pa.array([row[0] for row in rows], pa.string()),
            "event_timestamp": pa.array([row[1] for row in rows], types[kind]),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}-{os.getpid()}")
    pq.write_table(table, hidden)
    hidden.replace(path)


def write_events(lake: Path, days: Sequence[str] = DAYS) -> None:
    """Write days with three files of one event each, of which one must be converted."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for day in days:
        export(lake / day / "a.parquet", [(f"{day}-a", 1)])
        export(lake / day / "b.parquet", [(f"{day}-b", 1)], "integer")
        table = pa.table({"note": ["kept"], "event_timestamp": [1], "event_id": [f"{day}-c"]})
        pq.write_table(table, lake / day / "c.parquet")


def event_rows(lake: Path) -> list[tuple[Any, ...]]:
    """Event id and timestamp of every row that a build would read, sorted."""
    import pyarrow.parquet as pq

    found = []
    for path in (lake / "raw_events").rglob("*.parquet"):
        if not path.name.startswith((".", "_")):
            rows = pq.ParquetFile(path).read(["event_id", "event_timestamp"]).to_pylist()
            found += [(row["event_id"], row["event_timestamp"]) for row in rows]
    return sorted(found, key=repr)
