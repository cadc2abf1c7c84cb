"""Writes small lakes row by row, in the form that landing gives them, without using landing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
LEDGER_COLUMNS = {
    "game_transactions": (
        *("realamount", "bonusamount", "channeluid", "txcurrency"),
        *("gameid", "txtype", "betid", "playerid"),
    ),
    "currency_exchange": ("date", "currency", "baserateeuro"),
    "games": ("id", "game_name", "gameproviderid"),
    "game_providers": ("id", "game_provider_name"),
    "game_categories": ("game_id", "game_category"),
    "players": (
        *("playerid", "country", "birthdate", "gender", "playerstate"),
        *("vip", "kyc", "wantsnewsletter", "latestupdate"),
    ),
    "marketing_spend": ("date", "acquisition_channel", "campaign_id", "currency", "amount"),
}
"""The columns that a file of each ledger and cost folder must have."""
Row = dict[str, object]


def epoch(at: str) -> int:
    """The epoch second of an ISO time in UTC."""
    return int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp())


def folder(day: date) -> str:
    """The partition of a day."""
    return f"year={day:%Y}/month={day:%m}/day={day:%d}"


class HandLake:
    """Collects the rows of a lake until `write`. The application is `a` unless it is given."""

    def __init__(self, root: Path) -> None:
        """Everything is written below `root`."""
        self.root = root
        self._rows: dict[date, list[Row]] = defaultdict(list)
        self._count = 0

    def raw(self, day: date, row: Row) -> None:
        """Add a raw event row to the partition of a day, exactly as it is given."""
        self._rows[day].append(row)

    def event(self, at: str | int, kind: str = "login", /, **values: object) -> Row:
        """Add an event at an ISO time or epoch second; further values go into `event_data`.

        The values `event_id`, `application_id`, `app_version`, `arrival` (epoch second), `metadata`
        and `day` (the partition) do not go there, but into their own columns.
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

    def table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Write a file of a ledger or cost folder, in the format of its file extension.

        Declared columns that a row does not have are empty. A lake with files that lack a column
        must be written without this method.
        """
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        empty = "" if path.suffix == ".csv" else None
        names = [*LEDGER_COLUMNS[Path(name).parts[0]]]
        names += [column for row in rows for column in row if column not in names]
        rows = [{column: row.get(column, empty) for column in dict.fromkeys(names)} for row in rows]
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif path.suffix == ".csv":
            lines = [list(rows[0]), *(row.values() for row in rows)]
            quoted = (",".join(f'"{value}"' for value in line) + "\n" for line in lines)
            path.write_text("".join(quoted), encoding="utf-8")
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def write(self) -> Path:
        """Write the event partitions and return the root."""
        for day, rows in self._rows.items():
            target = self.root / "raw_events" / folder(day)
            target.mkdir(parents=True, exist_ok=True)
            pq.write_table(
                pa.Table.from_pylist(rows, schema=pa.schema(EVENT_COLUMNS)),
                target / "part-0.parquet",
            )
        self._rows.clear()
        return self.root


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict)
    return value
