"""Compaction: the files of each day of events are merged into few Parquet files of declared types.

Spectrum is slow with many small files and does not convert types. Files of the ledger need no
compaction, because each run writes their rows as one Parquet file per day.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import click
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from include.engine_text import without_values
from include.lake.compaction.journal import Journal, Move, journal_path, lock_path
from include.lake.compaction.moves import (
    count_merge,
    end_merge,
    end_stopped_merge,
    is_compactable,
)
from include.lake.compaction.store import Store, open_store
from include.lake.external_tables.duckdb import readers, typed
from include.lake.files import SMALL_BYTES, fits
from include.lake.listing import list_lake
from include.lake.sources import Source, sources
from include.lake.storage.lake import DataFile, Lake
from include.manifest import Manifest
from include.settings import Settings, UserError
from include.warehouse.duckdb_file import DuckDB, limit_memory

ATTEMPTS = 3
"""How often the files of a day are merged if some of them are replaced meanwhile."""


def compact_source(
    lake: Lake, manifest: Manifest, name: str, first: date | None, last: date | None
) -> None:
    """Merge the small files of each day of a source, from the first day to the last.

    Files that have other types than declared are merged as well and converted. The merged files are
    moved below `_compacted/` and never removed; nothing reads them there. A merged day is a touched
    day, so the next run builds it again.

    One compaction of a source runs at a time. A journal in the lake names the files that are
    merged, with their versions. If a compaction stops, the next one first ends what the journal
    names, and no run builds before that (`check_ended`). A file that is replaced or removed while
    it is merged stays as it is, and its day is merged again. Raises UserError for a source that
    cannot be compacted, if another compaction runs, and for files that cannot be read.
    """
    source = _compactable(manifest, name)
    store = open_store(lake)
    with _folder_errors(lake), store.lock(lock_path(name)):
        end_stopped_merge(store, name)
        before = after = 0
        changed: list[str] | None = None
        for _ in range(ATTEMPTS):
            days = _days_to_merge(lake, source, first, last)
            if changed is not None:
                days = {day: files for day, files in days.items() if day in changed}
            changed = []
            with click.progressbar(days.items(), label=f"merging {name}") as progress:
                for day, to_merge in progress:
                    for group in _groups(to_merge):
                        merged = _merge(lake, store, source, day, group)
                        if merged is None:
                            changed.append(day)
                        else:
                            before += merged
                            after += merged > 0
            if not changed:
                break
    print(f"{name}: {before} files merged into {after}")
    if before:
        print(f"the merged files were moved to {lake.root}/_compacted")
    if changed:
        print(
            f"files of {', '.join(sorted(set(changed)))} were replaced again and again, and stay "
            "as they are: run again when nothing writes these days any more"
        )


@contextlib.contextmanager
def _folder_errors(lake: Lake) -> Iterator[None]:
    """Turn an OSError of a lake in a folder into a UserError with a remedy."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the lake {lake.root} cannot be changed ({error.strerror or error}): free space or "
            "grant write access, and run again before the next build. No row is lost."
        ) from None


def _compactable(manifest: Manifest, name: str) -> Source:
    """The source of a name. Raises UserError if it does not exist or is no source of events."""
    declared = {source.name: source for source in sources(manifest)}
    events = ", ".join(source.name for source in declared.values() if is_compactable(source))
    if name not in declared:
        raise UserError(f"there is no source {name!r} to compact: name one of {events}.")
    if not is_compactable(declared[name]):
        raise UserError(
            f"the files of {name} need no compaction, because each run writes their rows as one "
            f"Parquet file per day: name one of {events}."
        )
    return declared[name]


def _days_to_merge(
    lake: Lake, source: Source, first: date | None, last: date | None
) -> dict[str, list[DataFile]]:
    """The files that must be merged, by day."""
    listing = list_lake(lake, [source], first)
    return {
        day: _files_to_merge(lake, source, files)
        for (_, day), files in sorted(listing.files.items())
        if not last or date.fromisoformat(day) <= last
    }


def _files_to_merge(lake: Lake, source: Source, files: Sequence[DataFile]) -> list[DataFile]:
    """The files of a day that must be merged, in a fixed order."""
    wrong = [file for file in files if not fits(lake, source, file)]
    small = [file for file in files if file.size < SMALL_BYTES and file not in wrong]
    return sorted(wrong + (small if len(small) > 1 or wrong else []), key=lambda file: file.path)


def _groups(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    """The files in groups of at least `SMALL_BYTES` together; one group fits in memory."""
    group: list[DataFile] = []
    for file in files:
        group.append(file)
        if sum(member.size for member in group) >= SMALL_BYTES:
            yield group
            group = []
    if group:
        yield group


def _merge(
    lake: Lake, store: Store, source: Source, day: str, files: Sequence[DataFile]
) -> int | None:
    """Write a Parquet file with the rows of the files, and move the files below `_compacted/`.

    Returns the number of merged files, or None if a file was replaced or removed meanwhile. In this
    case nothing is merged.
    """
    with tempfile.TemporaryDirectory() as scratch:
        versions = _download(lake, store, files, Path(scratch))
        if len(versions) < len(files):
            return None
        content = _merged_rows(source, files, Path(scratch))
    journal = _journal(store, source, day, versions)
    if store.exists(journal.merged):
        raise UserError(
            f"{lake.root}/{journal.merged} exists already, so the files that were merged into it "
            "are in the lake again: move it out of the lake, and run again."
        )
    # A landing decides by the files of the lake whether it has landed a file before.
    with store.landing_waits():
        if any(store.version(path) != version for path, version in versions.items()):
            return None
        count_merge(store, source.name)
        store.write(journal_path(source.name), journal.to_json())
        store.write(journal.merged, content)
        return len(files) if end_merge(store, journal) else None


def _download(lake: Lake, store: Store, files: Sequence[DataFile], folder: Path) -> dict[str, str]:
    """Copy the files to a folder of this machine, numbered; returns the version of each by path.

    Files that were removed meanwhile are left out.
    """
    versions = {}
    for number, file in enumerate(files):
        path = file.path.removeprefix(f"{lake.root}/")
        if found := store.read_version(path):
            content, versions[path] = found
            (folder / f"{number}.parquet").write_bytes(content)
    return versions


def _journal(store: Store, source: Source, day: str, versions: dict[str, str]) -> Journal:
    """The journal of a merge of files with these versions."""
    text = "\n".join(f"{path} {version}" for path, version in versions.items())
    while True:
        merge_id = hashlib.sha256(text.encode()).hexdigest()[:16]
        journal = Journal(
            source=source.name,
            merge_id=merge_id,
            merged=f"{source.name}/{source.partition_folder(day)}/merged-{merge_id}.parquet",
            moves=tuple(
                Move(path, f"_compacted/{merge_id}/{path}", version)
                for path, version in versions.items()
            ),
        )
        # A merge of the same versions that was undone has left files below `_compacted/`.
        if not store.exists(journal.undone):
            return journal
        text = merge_id


def _merged_rows(source: Source, files: Sequence[DataFile], folder: Path) -> bytes:
    """The content of a Parquet file with the rows of the numbered files, in the declared types."""
    paths = [str(folder / f"{number}.parquet") for number in range(len(files))]
    merged = folder / "merged.parquet"
    with duckdb.connect() as connection:
        limit_memory(connection, Settings.from_env(os.environ), folder=folder)
        try:
            selects = [
                typed(DuckDB(connection), source.file_columns, reader, keep_others=True)
                for alike in _by_schema(paths)
                for reader in readers(source, alike, hive=False)
            ]
            connection.execute(
                f"copy ({' union all by name '.join(selects)}) to '{merged}' "
                "(format parquet, compression zstd)"
            )
        except (duckdb.Error, pa.ArrowException) as error:
            reason = without_values(str(error).replace(f"{folder}/", "").splitlines()[0])
            raise UserError(
                f"{', '.join(file.path for file in files)} cannot be merged ({reason}; files are "
                "numbered from 0): repair or move the named file, and run again."
            ) from None
        return merged.read_bytes()


def _by_schema(paths: Sequence[str]) -> list[list[str]]:
    """The paths of Parquet files in groups of one schema.

    DuckDB reads several files as the types of the first one, and cannot convert all others to them.
    """
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for path in paths:
        schema = tuple((field.name, str(field.type)) for field in pq.read_schema(path))
        groups.setdefault(schema, []).append(path)
    return list(groups.values())
