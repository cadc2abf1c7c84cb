"""The listing of the lake: the partitions of every source and their files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from include.lake.sources import Source, data_ending
from include.lake.storage.lake import DataFile, Lake
from include.settings import UserError


@dataclass(frozen=True)
class Partition:
    """What a listing found of one partition.

    `day` is an ISO date. A source without partition columns has one partition, whose `day` is
    empty. `changed_at` is the newest change of a file: UTC without a time zone, as the warehouse
    stores it. `fingerprint` is a hash of each file's name, size, time of change and version; it is
    None for a partition that was built before the warehouse had fingerprints.
    """

    source: str
    day: str
    object_count: int
    byte_count: int
    changed_at: datetime
    fingerprint: str | None

    def has_same_files(self, other: Partition | None) -> bool:
        """Whether the other one has the same files, as far as both are known."""
        if other is None or self.fingerprint is None or other.fingerprint is None:
            return other is not None and replace(self, fingerprint=None) == replace(
                other, fingerprint=None
            )
        return self == other


@dataclass(frozen=True)
class Listing:
    """The partitions of the lake, and the files of each partition by source and day.

    `older` are the files of days before the listing's `since`, as far as the lake returned them: a
    folder returns all of them, and S3 those of the month of `since`.
    """

    partitions: list[Partition]
    files: Mapping[tuple[str, str], list[DataFile]]
    older: Mapping[tuple[str, str], list[DataFile]] = field(default_factory=dict)


def partition_day(source: Source, file: DataFile) -> str:
    """The day of a file's folder. Raises UserError for a file outside the partition folders."""
    pattern = "/".join(
        f"{column}=(?P<{column}>{r'[0-9]{4}-[0-9]{2}-[0-9]{2}' if column == 'date' else '[0-9]+'})"
        for column in source.partition_columns
    )
    found = re.fullmatch(pattern, "/".join(file.folders))
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
        f"{'/'.join([source.name, *file.folders, file.name])} is in no folder {wanted} "
        "of a real day: move or remove it."
    )


def check_name(source: Source, file: DataFile) -> None:
    """Raise UserError for a file that is not read: one of another kind, or a raw file of 0 bytes.

    Spectrum would read such a file as data, and DuckDB would not.
    """
    place = "/".join([source.name, *file.folders, file.name])
    if not data_ending(file.name, source.endings):
        raise UserError(
            f"{place} is no data file, because its name does not end in "
            f"{' or '.join(source.endings)}: rename it if it has data of this kind, else move it "
            "out of the lake."
        )
    if not source.is_parsed and any(part.startswith("#") for part in [*file.folders, file.name]):
        raise UserError(
            f"{place} has a name that begins with #, which Spectrum does not read: rename it."
        )
    if source.is_parsed and not file.size:
        raise UserError(
            f"{place} has 0 bytes, so its upload probably failed: write it again or remove it."
        )


def list_lake(lake: Lake, declared: Sequence[Source], since: date | None) -> Listing:
    """List the partitions of the declared sources, without those of days before `since`.

    Raises UserError for a lake that cannot be listed, and for a file that is in no partition or
    that is no data file (`check_name`).
    """
    partitions: list[Partition] = []
    files: dict[tuple[str, str], list[DataFile]] = {}
    older: dict[tuple[str, str], list[DataFile]] = {}
    for source in declared:
        for day, found in sorted(_by_day(source, lake.files(source, since)).items()):
            if day and since and date.fromisoformat(day) < since:
                older[source.name, day] = found
                continue
            files[source.name, day] = found
            partitions.append(
                Partition(
                    source=source.name,
                    day=day,
                    object_count=len(found),
                    byte_count=sum(file.size for file in found),
                    changed_at=max(file.changed_at for file in found),
                    fingerprint=fingerprint(found),
                )
            )
    return Listing(partitions, files, older)


def _by_day(source: Source, files: Iterable[DataFile]) -> dict[str, list[DataFile]]:
    """The files of a source by day. The name of each file and of its folders is checked."""
    by_day: dict[str, list[DataFile]] = {}
    days: dict[tuple[str, ...], str] = {}
    for file in files:
        check_name(source, file)
        if file.folders not in days:
            # The files of a folder have one day.
            days[file.folders] = partition_day(source, file) if source.partition_columns else ""
        by_day.setdefault(days[file.folders], []).append(file)
    return by_day


def fingerprint(files: Iterable[DataFile]) -> str:
    """A hash of the files of a partition, which does not depend on where the lake is."""
    described = sorted(
        ("/".join([*file.folders, file.name]), file.size, str(file.changed_at), file.version)
        for file in files
    )
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]
