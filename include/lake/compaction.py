"""Merging the files of each day into few Parquet files of the declared types.

Spectrum is slow over many small files, reads one format per folder, and converts no types.
"""

from __future__ import annotations

import hashlib
import json
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
from include.settings import UserError
from include.warehouse.duckdb_file import DuckDB


def compact_source(
    lake: Lake, manifest: Manifest, name: str, first: date | None, last: date | None
) -> None:
    """Merge the small files of each day of a source, from the first day to the last.

    A day's files that are no Parquet, or of other types than declared, are converted too; of JSON
    lines only the declared columns are taken over. What was merged is moved below `_compacted/`,
    where nothing reads it, and never removed. Whenever it stops, run again it first ends what it
    had begun; until then no run starts to build. A merged day counts as touched: the next run
    builds it once more. Raises UserError for a source that is not there, or files that cannot be
    read.
    """
    named = {source.name: source for source in sources(manifest)}
    if name not in named:
        raise UserError(f"there is no source {name!r}: give one of {', '.join(sorted(named))}.")
    source = named[name]
    _end(lake, source)
    listing = list_lake(lake, [source], first)
    days = {
        day: _wanting(lake, source, files)
        for (_, day), files in sorted(listing.files.items())
        if not (day and last) or date.fromisoformat(day) <= last
    }
    before = after = 0
    with click.progressbar(days.items(), label=f"merging {name}") as progress:
        for day, wanting in progress:
            before += len(wanting)
            for group in _groups(wanting):
                _merge(lake, source, day, group)
                after += 1
    print(f"{name}: {before} files merged into {after}")
    if before:
        print(f"the files as they were lie below {lake.root}/_compacted")


def check_ended(lake: Lake, declared: Iterable[Source]) -> None:
    """Raise UserError if a compaction was stopped, or is under way, that shows rows twice."""
    for source in declared:
        if _begun(lake, source):
            raise UserError(
                f"the compaction of {source.name} was stopped, or is under way, and some of its "
                f"rows are in the lake twice: `make compact SOURCE={source.name}` ends it."
            )


def _journal(lake: Lake, source: Source) -> str:
    return f"{lake.root}/_compaction/{source.name}.json"


def _begun(lake: Lake, source: Source) -> dict[str, str]:
    """Where the files of a merged one are still to be moved, by their paths."""
    if not lake.exists(journal := _journal(lake, source)):
        return {}
    begun = json.loads(lake.read(journal))
    moves: dict[str, str] = begun["moves"] if lake.exists(begun["merged"]) else {}
    return moves


def _end(lake: Lake, source: Source) -> None:
    """End what the journal says was begun: if the merged file is there, the others must go."""
    moves = _begun(lake, source)
    with ThreadPoolExecutor(THREADS) as pool:
        # Raises what the first failed one raises; the journal stays then.
        for _ in pool.map(lake.move, moves.keys(), moves.values()):
            pass
    lake.remove(_journal(lake, source))


def _wanting(lake: Lake, source: Source, files: Sequence[DataFile]) -> list[DataFile]:
    """The files of a day that are to be merged, in a fixed order."""
    wrong = [file for file in files if not fits(lake, source, file)]
    small = [file for file in files if file.size < SMALL_BYTES and file not in wrong]
    return sorted(wrong + (small if len(small) > 1 or wrong else []), key=lambda file: file.path)


def _groups(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    """The files in groups that are large enough, so that no more lies in memory at a time."""
    group: list[DataFile] = []
    for file in files:
        group.append(file)
        if sum(member.size for member in group) >= SMALL_BYTES:
            yield group
            group = []
    if group:
        yield group


def _merge(lake: Lake, source: Source, day: str, files: Sequence[DataFile]) -> None:
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as connection:
        here = []
        for number, file in enumerate(files):
            path = Path(scratch, f"{number}{data_ending(file.name, source.formats)}")
            path.write_bytes(lake.read(file.path))
            here.append(str(path))
        merged = Path(scratch, "merged.parquet")
        try:
            selects = [
                typed(DuckDB(connection), source.file_columns, reader, keep_others=True)
                for reader in readers(source, here, hive=False)
            ]
            connection.execute(
                f"copy ({' union all by name '.join(selects)}) to '{merged}' "
                "(format parquet, compression zstd)"
            )
        except duckdb.Error as error:
            reason = str(error).replace(f"{scratch}/", "").splitlines()[0]
            raise UserError(
                f"{', '.join(file.path for file in files)} cannot be merged ({reason}; files are "
                "numbered from 0): mend or move the one that is named, and run again."
            ) from None
        # Files that come later under the same names are others.
        seen = "\n".join(f"{file.path} {file.size} {file.changed_at}" for file in files)
        name = hashlib.sha256(seen.encode()).hexdigest()[:16]
        folder = "/".join(filter(None, [source.name, day and source.partition_folder(day)]))
        target = f"{lake.root}/{folder}/merged-{name}.parquet"
        if lake.exists(target):
            raise UserError(f"{target} is there already: move it out of the lake, and run again.")
        moves = {
            file.path: f"{lake.root}/_compacted/{name}/{file.path.removeprefix(f'{lake.root}/')}"
            for file in files
        }
        begun = {"merged": target, "moves": moves}
        lake.write(_journal(lake, source), json.dumps(begun).encode())
        lake.write(target, merged.read_bytes())
    _end(lake, source)
