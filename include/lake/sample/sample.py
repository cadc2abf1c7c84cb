"""Writes a reproducible sample into the lake: landed events, ledger files and cost files."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.landing.landing_zone import Landing, LandingZone, lake_errors
from include.lake.sample.events import DAY, EventStory
from include.lake.sample.ledger import Ledger, Row
from include.settings import UserError

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Sample:
    """The parameters of a sample. Equal parameters give equal bytes. `end` is the last UTC day.

    Without `bets_per_day`, there are as many bets on each day as players, and at least 40.
    """

    days: int
    players: int
    seed: int
    end: date
    missing_rate: bool = False
    bets_per_day: int | None = None

    @property
    def first(self) -> date:
        return self.end - timedelta(days=self.days - 1)


def yesterday() -> date:
    """The last UTC day that has ended."""
    return datetime.now(UTC).date() - timedelta(days=1)


def event_batches(sample: Sample, folder: Path | None = None) -> Iterator[tuple[str, int, bytes]]:
    """One batch per day of arrival: its name, its arrival time and its lines.

    The arrival time is the last second of the day, in epoch seconds. What does not fit into memory
    is kept in a temporary file in `folder`.
    """
    first = (sample.first - EPOCH).days
    story = EventStory(first, sample.days, sample.players, sample.seed, folder)
    for day, lines in story.arrivals():
        name = f"generated/{EPOCH + timedelta(days=day)}.jsonl"
        yield name, (day + 1) * DAY - 1, b"\n".join(lines) + b"\n"


def ledger_files(sample: Sample) -> Iterator[tuple[str, int, bytes]]:
    """Every ledger and cost file: its path in the lake, its number of rows and its content."""
    ledger = Ledger(
        sample.first,
        sample.days,
        sample.players,
        sample.seed,
        sample.missing_rate,
        sample.bets_per_day,
    )
    for number, (day, bookings) in enumerate(ledger.transactions()):
        name = f"game_transactions/date={day}/generated"
        # Studios send several formats, so one day is CSV with decimal commas and one is JSON lines.
        if number == 1:
            yield f"{name}.csv", len(bookings), _csv([_with_commas(row) for row in bookings])
        elif number == 2:
            yield f"{name}.jsonl", len(bookings), _json_lines(bookings)
        else:
            yield f"{name}.parquet", len(bookings), _parquet(bookings)
    for name, rows, encode in (
        ("currency_exchange/generated.csv", ledger.rates(), _csv),
        ("games/generated.csv", ledger.games(), _csv),
        ("game_providers/generated.jsonl", ledger.providers(), _json_lines),
        ("game_categories/generated.csv", ledger.categories(), _csv),
        ("players/generated.parquet", ledger.bettors(), _parquet),
        ("marketing_spend/generated.csv", ledger.spend(), _csv),
    ):
        yield name, len(rows), encode(rows)


def write_sample(
    lake: Path, sample: Sample, report: Callable[[str], object] = click.echo
) -> list[Landing]:
    """Write the sample into the lake, and report the number of rows per folder.

    Events are landed, so writing an equal sample again adds none. Ledger and cost files are
    overwritten. Raises UserError if the sample does not end in the past.
    """
    if sample.end > yesterday():
        raise UserError(f"END is {sample.end}, but a sample ends on a past day (UTC): choose one.")
    with LandingZone(lake) as zone:
        landings = [
            zone.land(name, io.BytesIO(lines), arrived_at)
            for name, arrived_at, lines in event_batches(sample, lake)
        ]
        rows = write_ledger(lake, sample)
    again = sum(1 for landing in landings if landing.landed_before)
    report(
        f"raw_events: {sum(landing.landed for landing in landings):,} rows and rejected_events:"
        f" {sum(landing.rejected for landing in landings):,} rows in {len(landings):,} batches,"
        f" {again:,} of them landed before"
    )
    for folder, count in rows.items():
        report(f"{folder}: {count:,} rows")
    return landings


def write_ledger(lake: Path, sample: Sample) -> dict[str, int]:
    """Write the ledger and cost files into the lake; returns the number of rows by folder."""
    rows: dict[str, int] = {}
    with lake_errors(lake):
        for name, count, content in ledger_files(sample):
            _write(lake / name, content)
            folder = name.split("/", maxsplit=1)[0]
            rows[folder] = rows.get(folder, 0) + count
    return rows


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"_{path.name}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            unfinished.unlink()
    # An earlier sample may have written the same day in another format.
    for other in path.parent.glob("generated.*"):
        if other != path:
            other.unlink()


def _with_commas(row: Row) -> Row:
    return row | {name: row[name].replace(".", ",") for name in ("realamount", "bonusamount")}


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _json_lines(rows: Sequence[Row]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def _parquet(rows: Sequence[Row]) -> bytes:
    types: dict[str, pa.DataType] = dict.fromkeys(rows[0], pa.string())
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(types)), content)
    return content.getvalue()
