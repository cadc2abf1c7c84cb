"""Lands event files: writes their records as Parquet into the lake's partitions.

`event_files` reads the files, `parquet_files` writes their records as Parquet, and `landing_zone`
moves the Parquet files into the lake.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import click

from include.lake.landing.event_files import event_files, not_read, open_events, shown
from include.lake.landing.folder_search import Found
from include.lake.landing.landing_zone import EARLIEST_DATE, Landing, LandingZone, counts
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
    of their arrival. If a file fails, raises UserError with the names of the files that were landed
    before it. If a folder has something that cannot be read, raises UserError after all other files
    were landed.
    """
    started = time.monotonic()
    landings: list[Landing] = []
    left_out = Found()
    with LandingZone(lake, earliest) as zone:
        try:
            for source in sources:
                found = event_files(source, lake)
                left_out.not_read += found.not_read
                for path, reason in found.not_read:
                    report(f"{shown(path)}: not read, because {reason}")
                for name in found.files:
                    arrival = int(time.time()) if arrived_at is None else arrived_at
                    with open_events(name) as (stream, on_block):
                        landing = zone.land(name, stream, arrival, on_block)
                    landings.append(landing)
                    report(str(landing))
        except UserError as error:
            if not landings:
                raise
            before = ", ".join(shown(landing.source) for landing in landings)
            raise UserError(f"{error} These files were landed before it: {before}.") from None
    report(_total(landings, len(left_out.not_read), time.monotonic() - started))
    if left_out.not_read:
        raise UserError(
            f"{not_read(left_out)} All other files are landed. Give a file of JSON lines by its "
            "name to land it, and move the others away or begin their names with `_`."
        )
    return landings


def _total(landings: Sequence[Landing], not_read_count: int, seconds: float) -> str:
    new = [landing for landing in landings if not landing.landed_before]
    lines = sum(landing.lines for landing in new)
    landed = sum(landing.landed for landing in new)
    rejected = sum(landing.rejected for landing in new)
    others = f", {not_read_count:,} not read" if not_read_count else ""
    return (
        f"{len(landings):,} {'file' if len(landings) == 1 else 'files'}: "
        f"{counts(lines, landed, rejected)}, {len(landings) - len(new):,} already landed{others}; "
        f"{seconds:.1f} s, {(landed + rejected) / seconds:,.0f} records/s"
    )
