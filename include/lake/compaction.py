"""Compaction: the files of each day are merged into few Parquet files of the declared types.

Spectrum is slow with many small files, reads one format per folder and does not convert types.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import click
import duckdb

from include.lake.external_tables.duckdb import readers, typed
from include.lake.files import SMALL_BYTES, fits
from include.lake.listing import list_lake
from include.lake.sources import Source, data_ending, sources
from include.lake.storage.lake import THREADS, DataFile, Lake
from include.manifest import Manifest
from include.settings import Settings, UserError
from include.warehouse.duckdb_file import DuckDB, limit_memory


def compact_source(
    lake: Lake, manifest: Manifest, name: str, first: date | None, last: date | None
) -> None:
    """Merge the small files of each day of a source, from the first day to the last.

    Files that are no Parquet, or have other types than declared, are merged as well and converted.
    Of JSON lines only the declared columns are kept. The merged files are moved below `_compacted/`
    and never removed; nothing reads them there. A merged day is a touched day, so the next run
    builds it again.

    A journal in the lake names the files that must be moved. If a compaction stops, the next one
    first moves the rest of these files, and no run builds before that (`check_ended`). Raises
    UserError for a source that does not exist and for files that cannot be read.
    """
    named = {source.name: source for source in sources(manifest)}
    if name not in named:
        raise UserError(f"there is no source {name!r}: name one of {', '.join(sorted(named))}.")
    source = named[name]
    _finish(lake, source)
    listing = list_lake(lake, [source], first)
    days = {
        day: _files_to_merge(lake, source, files)
        for (_, day), files in sorted(listing.files.items())
        if not (day and last) or date.fromisoformat(day) <= last
    }
    before = after = 0
    with click.progressbar(days.items(), label=f"merging {name}") as progress:
        for day, to_merge in progress:
            before += len(to_merge)
            for group in _groups(to_merge):
                _merge(lake, source, day, group)
                after += 1
    print(f"{name}: {before} files merged into {after}")
    if before:
        print(f"the merged files were moved to {lake.root}/_compacted")


def check_ended(lake: Lake, declared: Iterable[Source]) -> None:
    """Raise UserError if some rows are in the lake twice because a compaction has not ended."""
    for source in declared:
        if _pending_moves(lake, source):
            raise UserError(
                f"the compaction of {source.name} was stopped or is still running, and some rows "
                f"are in the lake twice: `make compact SOURCE={source.name}` ends it."
            )


def _journal(lake: Lake, source: Source) -> str:
    """The path of the journal of a source's compaction."""
    return f"{lake.root}/_compaction/{source.name}.json"


def _pending_moves(lake: Lake, source: Source) -> dict[str, str]:
    """The files that must be moved by the journal: the new path of each, by its old path.

    There are none if the merged file was not written, because then no row is in the lake twice.
    """
    if not lake.exists(journal := _journal(lake, source)):
        return {}
    content = json.loads(lake.read(journal))
    moves: dict[str, str] = content["moves"] if lake.exists(content["merged"]) else {}
    return moves


def _finish(lake: Lake, source: Source) -> None:
    """Move the files that the journal names, then remove the journal."""
    moves = _pending_moves(lake, source)
    with ThreadPoolExecutor(THREADS) as pool:
        # Iterating raises the error of the first failed move. The journal stays then.
        for _ in pool.map(lake.move, moves.keys(), moves.values()):
            pass
    lake.remove(_journal(lake, source))


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


def _merge(lake: Lake, source: Source, day: str, files: Sequence[DataFile]) -> None:
    """Write a Parquet file with the rows of the files, and move the files below `_compacted/`."""
    content = _merged_rows(lake, source, files)
    # Size and time are in the name, because later files may have the paths of merged ones.
    versions = "\n".join(f"{file.path} {file.size} {file.changed_at}" for file in files)
    name = hashlib.sha256(versions.encode()).hexdigest()[:16]
    folder = "/".join(filter(None, [source.name, day and source.partition_folder(day)]))
    merged = f"{lake.root}/{folder}/merged-{name}.parquet"
    if lake.exists(merged):
        raise UserError(f"{merged} exists already: move it out of the lake, and run again.")
    moves = {
        file.path: f"{lake.root}/_compacted/{name}/{file.path.removeprefix(f'{lake.root}/')}"
        for file in files
    }
    journal = {"merged": merged, "moves": moves}
    lake.write(_journal(lake, source), json.dumps(journal).encode())
    lake.write(merged, content)
    _finish(lake, source)


def _merged_rows(lake: Lake, source: Source, files: Sequence[DataFile]) -> bytes:
    """The content of a Parquet file with the rows of the files, in the declared types."""
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as connection:
        paths = []
        for number, file in enumerate(files):
            path = Path(scratch, f"{number}{data_ending(file.name, source.formats)}")
            path.write_bytes(lake.read(file.path))
            paths.append(str(path))
        limit_memory(connection, Settings.from_env(os.environ), folder=Path(scratch))
        merged = Path(scratch, "merged.parquet")
        try:
            selects = [
                typed(DuckDB(connection), source.file_columns, reader, keep_others=True)
                for reader in readers(source, paths, hive=False)
            ]
            connection.execute(
                f"copy ({' union all by name '.join(selects)}) to '{merged}' "
                "(format parquet, compression zstd)"
            )
        except duckdb.Error as error:
            reason = str(error).replace(f"{scratch}/", "").splitlines()[0]
            raise UserError(
                f"{', '.join(file.path for file in files)} cannot be merged ({reason}; files are "
                "numbered from 0): repair or move the named file, and run again."
            ) from None
        return merged.read_bytes()
