"""Checks the event files of each day once, and keeps what was found in the warehouse.

The footer of each Parquet file is read: from S3 with one request per file. Table
`operations.checked_days` keeps the result with a fingerprint of the day's files, so a file is read
again only if a file of its day has changed. This also serves a run after a failed one, a run of
requested days and a run after a changed seed, which build days whose files have not changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from include.lake.files import check_files
from include.lake.listing import Listing, fingerprint
from include.lake.run_days.tables import CHECKED_COLUMNS, operations_schema
from include.lake.sources import Source
from include.lake.storage.lake import DataFile, Lake
from include.settings import Settings
from include.warehouse.database import Database

Day = tuple[str, str]
"""The name of a source and an ISO date."""


@dataclass(frozen=True)
class CheckedDay:
    """What was read in the footers of a day's files.

    `schema` is the hash of the schema that all of the files have, or empty if they have several.
    """

    fingerprint: str
    row_count: int
    schema: str


def check_days(
    database: Database,
    settings: Settings,
    lake: Lake,
    declared: Collection[Source],
    listing: Listing,
    since: date | None,
    wanted: Collection[Day],
) -> dict[Day, CheckedDay]:
    """The checked days among the wanted ones that have event files.

    A day is checked now if its files have changed since it was checked. Sources that a run parses
    are left out, because the parser checks their files. The listing has no partitions of days
    before `since`. Raises UserError for a file that is no readable Parquet, and on Redshift for a
    column of another type than its source declares.
    """
    kept = _read(database, settings)
    found: dict[Day, CheckedDay] = {}
    for source in declared:
        if source.is_parsed:
            continue
        files = {
            day: listing.files.get(day) or listing.older.get(day, [])
            for day in sorted(wanted)
            if day[0] == source.name
        }
        found |= _check(settings, lake, source, files, kept)
    if any(kept.get(day) != checked for day, checked in found.items()):
        # Days that are gone are forgotten. Days before `since` may be there.
        left = {
            key: kept[key]
            for key in kept
            if key in listing.files or (since and key[1] < str(since))
        }
        _write(database, settings, left | found)
    return found


def _check(
    settings: Settings,
    lake: Lake,
    source: Source,
    files: Mapping[Day, list[DataFile]],
    kept: Mapping[Day, CheckedDay],
) -> dict[Day, CheckedDay]:
    """The checked days of a source, by the files of each day."""
    prints = {day: _fingerprint(source, own) for day, own in files.items() if own}
    found = {
        day: kept[day]
        for day, known in prints.items()
        if day in kept and kept[day].fingerprint == known
    }
    changed = prints.keys() - found.keys()
    new = [file for day in changed for file in files[day]]
    checked = check_files(lake, source, new, strict=settings.target == "redshift")
    for day in changed:
        own = [checked[file.path] for file in files[day]]
        schemas = {file.schema for file in own}
        found[day] = CheckedDay(
            prints[day],
            sum(file.row_count for file in own),
            schemas.pop() if len(schemas) == 1 else "",
        )
    return found


def _fingerprint(source: Source, files: list[DataFile]) -> str:
    """A hash of the files and of the declared columns, by whose types the files were checked."""
    checked = json.dumps([fingerprint(files), list(source.file_columns.items())])
    return hashlib.sha256(checked.encode()).hexdigest()[:16]


def _read(database: Database, settings: Settings) -> dict[Day, CheckedDay]:
    rows = database.rows(
        f"select {', '.join(CHECKED_COLUMNS)} from {operations_schema(settings)}.checked_days"
    )
    return {(source, day): CheckedDay(*values) for source, day, *values in rows}


def _write(database: Database, settings: Settings, days: Mapping[Day, CheckedDay]) -> None:
    table = f"{operations_schema(settings)}.checked_days"
    with database.transaction():
        database.execute(f"delete from {table}")
        database.insert(
            table,
            [
                (*key, day.fingerprint, day.row_count, day.schema)
                for key, day in sorted(days.items())
            ],
        )
