"""What lies in the lake: the partitions of every source, with their objects, bytes and change."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from include.manifest import Manifest
from include.settings import UserError

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".jsonl.gz": "json",
}
"""The endings of the files that are read, and the format of each."""


@dataclass(frozen=True)
class Source:
    """A source of the dbt project: a folder of the lake.

    `partition_columns` is empty (one folder), `[date]`, or `[year, month, day]`; `columns` maps the
    declared columns, partition columns included, to their types.
    """

    unique_id: str
    name: str
    partition_columns: tuple[str, ...]
    columns: Mapping[str, str]

    def formats(self) -> dict[str, str]:
        """The endings that count here: events are Parquet, everything else may be any format."""
        if len(self.partition_columns) == 3:
            return {".parquet": "parquet"}
        return FORMATS


@dataclass(frozen=True)
class Partition:
    """The fingerprint of one partition; `day` is an ISO date, or empty for an undivided source.

    `changed_at` is the newest change of a file: UTC without a zone, as the warehouse keeps it.
    """

    source: str
    day: str
    object_count: int
    byte_count: int
    changed_at: datetime


def sources(manifest: Manifest) -> list[Source]:
    """The sources that the dbt project declares, by name."""
    declared = manifest.content["sources"]
    return sorted(
        (
            Source(
                unique_id=unique_id,
                name=source["name"],
                partition_columns=tuple(source["config"]["meta"]["partition_columns"]),
                columns={name: column["data_type"] for name, column in source["columns"].items()},
            )
            for unique_id, source in declared.items()
        ),
        key=lambda source: source.name,
    )


def data_files(folder: Path, formats: Mapping[str, str]) -> Iterator[os.DirEntry[str]]:
    """The data files at and below a folder, in any order; a name with `_` or `.` ahead is none."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{folder} cannot be listed ({error.strerror}): mend its rights.") from None
    for entry in entries:
        if entry.name.startswith(("_", ".")):
            continue
        if entry.is_dir():
            yield from data_files(Path(entry.path), formats)
        elif data_ending(entry.name, formats):
            yield entry


def data_ending(name: str, formats: Mapping[str, str] = FORMATS) -> str | None:
    """The ending that makes a file a data file, or None if it is none."""
    return next((ending for ending in formats if name.endswith(ending)), None)


def partition_day(source: Source, relative: Path) -> str:
    """The day of a file's folder; raises UserError for a file outside the partition folders."""
    folders = relative.parts[:-1]
    pattern = "/".join(
        f"{column}=(?P<{column}>{r'[0-9]{4}-[0-9]{2}-[0-9]{2}' if column == 'date' else '[0-9]+'})"
        for column in source.partition_columns
    )
    found = re.fullmatch(pattern, "/".join(folders))
    if found:
        try:
            return date.fromisoformat(
                "-".join(found[name] for name in source.partition_columns)
            ).isoformat()
        except ValueError:
            pass
    form = {"date": "date=YYYY-MM-DD", "year": "year=YYYY", "month": "month=MM", "day": "day=DD"}
    wanted = "/".join(form[column] for column in source.partition_columns)
    raise UserError(
        f"{source.name}/{relative} lies in no folder {wanted} of a real day: move or remove it."
    )


def list_lake(lake: Path, declared: Sequence[Source], since: date | None) -> list[Partition]:
    """The partitions of all sources; `since` leaves out those of earlier days.

    Raises UserError if the lake is no folder, or a file lies in no partition.
    """
    if lake.exists() and not lake.is_dir():
        raise UserError(f"the lake {lake} is a file: set GAME_ANALYTICS_LAKE to a folder.")
    found: list[Partition] = []
    for source in declared:
        folder = lake / source.name
        stats: dict[str, list[os.stat_result]] = {}
        for entry in data_files(folder, source.formats()):
            day = ""
            if source.partition_columns:
                day = partition_day(source, Path(entry.path).relative_to(folder))
            stats.setdefault(day, []).append(entry.stat())
        found.extend(
            Partition(
                source=source.name,
                day=day,
                object_count=len(files),
                byte_count=sum(file.st_size for file in files),
                changed_at=datetime.fromtimestamp(
                    max(file.st_mtime_ns for file in files) // 1000 / 1e6, UTC
                ).replace(tzinfo=None),
            )
            for day, files in sorted(stats.items())
            if not (day and since and date.fromisoformat(day) < since)
        )
    return found
