"""Lands event files: writes their lines as Parquet into the lake's partitions.

`event_files` reads the files, `parquet_files` writes their lines as Parquet, and `landing_zone`
moves the Parquet files into the lake.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import click

from include.lake.landing.event_files import event_files, open_events
from include.lake.landing.landing_zone import EARLIEST_DATE, Landing, LandingZone
from include.settings import UserError


def land_files(
    lake: Path,
    sources: Sequence[str],
    arrived_at: int | None = None,
    report: Callable[[str], object] = click.echo,
    earliest: date = EARLIEST_DATE,
) -> list[Landing]:
    """Land files, the event files of folders, or standard input (`-`), each as its own landing.

    `arrived_at` is the arrival time in epoch seconds, by default now. `report` gets one line of
    text per file and one for the total. Events of days before `earliest` are stored under the day
    of their arrival. If a file fails, raises UserError with the names of the
    files that were landed before it.
    """
    started = time.monotonic()
    landings: list[Landing] = []
    with LandingZone(lake, earliest) as zone:
        try:
            for source in sources:
                for name in event_files(source):
                    arrival = int(time.time()) if arrived_at is None else arrived_at
                    with open_events(name) as (stream, on_block):
                        landing = zone.land(name, stream, arrival, on_block)
                    landings.append(landing)
                    report(str(landing))
        except UserError as error:
            if not landings:
                raise
            before = ", ".join(landing.source for landing in landings)
            raise UserError(f"{error} These files were landed before it: {before}.") from None
    new = [landing for landing in landings if not landing.landed_before]
    lines = sum(landing.lines for landing in new)
    seconds = time.monotonic() - started
    report(
        f"{len(landings):,} {'file' if len(landings) == 1 else 'files'}: {lines:,} lines, "
        f"{sum(landing.landed for landing in new):,} landed, "
        f"{sum(landing.rejected for landing in new):,} rejected, "
        f"{len(landings) - len(new):,} already landed; "
        f"{seconds:.1f} s, {lines / seconds:,.0f} lines/s"
    )
    return landings
