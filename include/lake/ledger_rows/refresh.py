"""Keeps one Parquet file with the parsed rows of each partition of the ledger and of costs.

The file is `ledger_rows/<source>/[date=YYYY-MM-DD/]<hash>.parquet` below the lake, and the external
tables read nothing else of these sources. The hash covers the name, size and time of change (in S3
the ETag) of each raw file, the declared columns and `FORMAT_VERSION`. So a partition that
a run lists is parsed again exactly if one of them has changed. Days before the bound of LATE_DAYS
are not listed: their files stay until a run that lists the whole lake.

The first step of a run calls `refresh_rows`. On Redshift it holds the build lock, and on DuckDB the
only connection to the warehouse's file, so no other run of the same warehouse and schema prefix
reads or replaces the files at the same time. Other prefixes have other folders (`rows_folder`).
Nothing separates two warehouses that use one lake with the same prefix.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import click

from include.lake.ledger_rows.rows import FileFaultError, RawFile, RowCounts
from include.lake.ledger_rows.write import write_rows
from include.lake.listing import Listing, list_lake
from include.lake.sources import LEDGER_ROWS, Source
from include.lake.storage.lake import THREADS, DataFile, Lake
from include.settings import UserError

FORMAT_VERSION = 3
"""Raise it when a change of the parser changes rows, so that all files are parsed again."""
NAMED_FILES = 5
"""How many files with bad rows the log names for each source."""


@dataclass(frozen=True)
class PartitionRows:
    """The rows that a partition with raw files will have once the step has ended.

    `file` is the Parquet file with them: a path of this machine if the rows were parsed just now,
    else a file of the lake. `old` are the files of the lake that it replaces.
    """

    source: Source
    day: str
    file: Path | DataFile
    old: Sequence[DataFile]


Check = Callable[[Sequence[PartitionRows]], None]
"""A function that raises an error if these rows must not replace those of the lake."""


@dataclass(frozen=True)
class _Partition:
    """A partition with raw files. `path` is the path in the lake of the file with its rows."""

    source: Source
    day: str
    raw: Sequence[DataFile]
    path: str


@dataclass(frozen=True)
class _Parsed:
    """A partition whose rows are in a file of this machine."""

    partition: _Partition
    file: Path
    counts: RowCounts


@dataclass(frozen=True)
class _Change:
    """A partition of which files below `ledger_rows/` are removed or written.

    `old` are the files to remove. If `parsed` is given, this file is written to `path`.
    """

    old: Sequence[str]
    path: str
    parsed: Path | None


def refresh_rows(
    lake: Lake,
    declared: Sequence[Source],
    listing: Listing,
    since: date | None,
    schema_prefix: str = "",
    check: Check = lambda _: None,
) -> list[str]:
    """Parse the new and changed partitions of all parsed sources, and remove those that are gone.

    All partitions are parsed into a local folder before anything in the lake changes, so a file
    that is refused, or replaced while it is read, leaves the rows of the last run, and so does an
    error of `check`. Then each partition loses its old file before it gets the new one: a reader
    finds the rows of one of them or none, and never both. If the step stops in between, the next
    one finds that the new file is missing.

    The listing has no days before `since`, so the rows of these days stay as they are, also if raw
    files of them were changed or removed. If a source was never parsed, all its days are. Returns
    a line for each source that was parsed. Raises UserError for a file that is refused and for a
    lake that cannot be written.
    """
    wanted: list[_Partition] = []
    old: dict[tuple[str, str], list[DataFile]] = {}
    for source in declared:
        if not source.is_parsed:
            continue
        stored = replace(source, name=source.rows_folder(schema_prefix))
        bound = since
        raw = _raw_files(listing, source)
        kept = _stored_files(lake, stored, bound)
        if bound and source.partition_columns and raw and not kept:
            bound = None
            raw = _raw_files(list_lake(lake, [source], None), source)
            kept = _stored_files(lake, stored, None)
        old |= {(source.name, day): files for day, files in kept.items()}
        wanted += [
            _Partition(source, day, files, _rows_path(lake, stored, source, day, files))
            for day, files in raw.items()
        ]
    kept_rows: dict[str, Path | DataFile] = {
        file.path: file for files in old.values() for file in files
    }
    missing = [one for one in wanted if one.path not in kept_rows]
    with tempfile.TemporaryDirectory() as scratch:
        parsed = _parse(lake, missing, Path(scratch))
        rows = kept_rows | {one.partition.path: one.file for one in parsed}
        check(
            [
                PartitionRows(
                    one.source,
                    one.day,
                    rows[one.path],
                    _outdated(old.get((one.source.name, one.day), []), one.path),
                )
                for one in wanted
            ]
        )
        _replace_files(lake, _changes(wanted, old, parsed))
    return _lines(parsed)


def _raw_files(listing: Listing, source: Source) -> dict[str, list[DataFile]]:
    """The raw files of a source by day."""
    return {day: files for (name, day), files in listing.files.items() if name == source.name}


def _stored_files(lake: Lake, stored: Source, since: date | None) -> dict[str, list[DataFile]]:
    """The files below `ledger_rows/` of a source by day.

    Raises UserError for a file that this module has not written, because it would be read as rows.
    """
    found = {day: files for (_, day), files in list_lake(lake, [stored], since).files.items()}
    for files in found.values():
        for file in files:
            if not re.fullmatch(r"[0-9a-f]{16}\.parquet", file.name):
                raise UserError(
                    f"{file.path} was not written by a run, and {LEDGER_ROWS}/ is only for parsed "
                    f"rows: move it out of {LEDGER_ROWS}/."
                )
    return found


def _outdated(files: Sequence[DataFile], path: str) -> list[DataFile]:
    """The files of a partition other than the wanted one."""
    return [file for file in files if file.path != path]


def _rows_path(
    lake: Lake, stored: Source, source: Source, day: str, files: Sequence[DataFile]
) -> str:
    """The path of the file with the parsed rows of these raw files."""
    versions = sorted((_relative(lake, file), file.size, file.version) for file in files)
    content = json.dumps([FORMAT_VERSION, list(source.parsed_columns.items()), versions])
    name = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    folders = [stored.name, source.partition_folder(day)] if day else [stored.name]
    return "/".join([lake.root, *folders, f"{name}.parquet"])


def _relative(lake: Lake, file: DataFile) -> str:
    """The path of a file below the lake."""
    return file.path.removeprefix(f"{lake.root}/")


def _parse(lake: Lake, missing: Sequence[_Partition], scratch: Path) -> list[_Parsed]:
    """Parse the raw files of each partition into a file of the folder `scratch`.

    The raw files of at most `THREADS` partitions are on this machine at a time. Raises
    FileFaultError for all files that are refused, once every partition was parsed. Raises UserError
    for a file that cannot be read, and if the disk is full.
    """
    parsed: list[_Parsed] = []
    faults: list[str] = []
    label = "parsing ledger and cost files"
    with (
        _read_errors(scratch),
        ThreadPoolExecutor(THREADS) as pool,
        click.progressbar(length=len(missing), label=label, hidden=len(missing) < 2) as progress,
    ):
        for first in range(0, len(missing), THREADS):
            group = missing[first : first + THREADS]
            with tempfile.TemporaryDirectory(dir=scratch) as downloads:
                files = [file for partition in group for file in partition.raw]
                places = [Path(downloads, str(number)) for number in range(len(files))]
                copies = dict(zip(files, pool.map(lake.local_copy, files, places), strict=True))
                for partition in group:
                    target = scratch / f"{len(parsed)}.parquet"
                    try:
                        parsed.append(_parse_partition(lake, partition, copies, target))
                    except FileFaultError as error:
                        faults += error.messages
                    progress.update(1)
                _refuse_replaced(lake, files, pool)
    if faults:
        raise FileFaultError(*faults)
    return parsed


def _refuse_replaced(lake: Lake, files: Sequence[DataFile], pool: ThreadPoolExecutor) -> None:
    """Raise UserError if a file that was read is another one than the listing's.

    Its rows would be stored below the hash of the listed file, and a file that is written while it
    is read can end in the middle.
    """
    for file, is_unchanged in zip(files, pool.map(lake.is_unchanged, files), strict=True):
        if not is_unchanged:
            raise UserError(f"{_relative(lake, file)} was replaced while it was read: run again.")


def _parse_partition(
    lake: Lake, partition: _Partition, copies: Mapping[DataFile, Path], target: Path
) -> _Parsed:
    """Parse the raw files of a partition into the file `target`."""
    source = partition.source
    inputs = [
        RawFile(_relative(lake, file), copies[file])
        for file in sorted(partition.raw, key=lambda file: file.path)
    ]
    counts = write_rows(inputs, source.name, source.parsed_columns, target)
    return _Parsed(partition, target, counts)


def _changes(
    wanted: Sequence[_Partition],
    old: Mapping[tuple[str, str], list[DataFile]],
    parsed: Sequence[_Parsed],
) -> list[_Change]:
    """The partitions that get a new file or lose files that are no longer wanted."""
    paths = {(one.source.name, one.day): one.path for one in wanted}
    new = {one.partition.path: one.file for one in parsed}
    changes = []
    for key in sorted({*paths, *old}):
        path = paths.get(key, "")
        outdated = [file.path for file in _outdated(old.get(key, []), path)]
        if outdated or path in new:
            changes.append(_Change(outdated, path, new.get(path)))
    return changes


def _replace_files(lake: Lake, changes: Sequence[_Change]) -> None:
    """Remove the old files of each partition, then write its new one; several at a time."""

    def replace_one(change: _Change) -> None:
        for path in change.old:
            lake.remove(path)
        if change.parsed:
            lake.upload(change.parsed, change.path)

    label = f"writing {LEDGER_ROWS}"
    with (
        _write_errors(lake),
        ThreadPoolExecutor(THREADS) as pool,
        click.progressbar(length=len(changes), label=label, hidden=len(changes) < 2) as progress,
    ):
        for _ in pool.map(replace_one, changes):
            progress.update(1)


def _lines(parsed: Sequence[_Parsed]) -> list[str]:
    """A line for each source that was parsed, which names the files with bad rows."""
    lines = []
    for name in sorted({one.partition.source.name for one in parsed}):
        own = [one for one in parsed if one.partition.source.name == name]
        files = sum(len(one.partition.raw) for one in own)
        bad = sum(one.counts.bad for one in own)
        rows = bad + sum(one.counts.good for one in own)
        line = (
            f"{name}: parsed {rows} row{'s' if rows != 1 else ''} "
            f"of {files} file{'s' if files != 1 else ''}"
        )
        if bad:
            bad_files = [file for one in own for file in one.counts.bad_files]
            more = len(bad_files) - NAMED_FILES
            line += (
                f", of which {bad} cannot be read and are listed in fct_quarantined_rows: "
                f"{', '.join(bad_files[:NAMED_FILES])}{f' and {more} more files' * (more > 0)}"
            )
        lines.append(line)
    return lines


@contextmanager
def _read_errors(scratch: Path) -> Iterator[None]:
    """Raise UserError if a raw file cannot be read, or if a local file cannot be written."""
    try:
        yield
    except OSError as error:
        name = str(error.filename or scratch)
        is_local = Path(name).is_relative_to(scratch)
        remedy = (
            "free space there, or set TMPDIR to another folder"
            if is_local
            else "give this user access to it, or run again if it was removed in the meantime"
        )
        reason = error.strerror or error
        action = "written" if is_local else "read"
        raise UserError(f"{name} cannot be {action} ({reason}): {remedy}.") from None


@contextmanager
def _write_errors(lake: Lake) -> Iterator[None]:
    """Raise UserError if a folder of the lake cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{lake.root}/{LEDGER_ROWS} cannot be written ({error.strerror or error}): let this "
            "user write there, or free space on its disk, and run again."
        ) from None
