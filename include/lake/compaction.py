"""Merging the files of each day into few Parquet files of the declared types.

Spectrum is slow over many small files, reads one format per folder, and converts no types.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import click
import duckdb

from include.duckdb_file import DuckDB
from include.lake.external_tables import readers, typed
from include.lake.files import SMALL_BYTES, fits
from include.lake.listing import list_lake
from include.lake.sources import Source, data_ending, sources
from include.lake.storage import DataFile, Lake
from include.manifest import Manifest
from include.settings import UserError


def compact_source(
    lake: Lake, manifest: Manifest, name: str, first: date | None, last: date | None
) -> None:
    """Merge the small files of each day of a source, from the first day to the last.

    A day's files that are no Parquet, or of other types than declared, are converted too; of JSON
    lines only the declared columns are kept. Nothing is lost, and nothing is there twice, whenever
    it stops: run again, it ends first what it had begun. A build that reads meanwhile may see rows
    twice, and a merged day counts as touched: the next run builds it once more. Raises UserError
    for a source that is not there.
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


def _journal(lake: Lake, source: Source) -> str:
    return f"{lake.root}/_compaction/{source.name}.json"


def _end(lake: Lake, source: Source) -> None:
    """End what the journal says was begun: if the merged file is there, the others must go."""
    try:
        begun = json.loads(lake.read(_journal(lake, source)))
        lake.read(begun["merged"])
    except FileNotFoundError:
        return
    lake.remove([*begun["files"], _journal(lake, source)])


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
        selects = [
            typed(DuckDB(connection), source.file_columns, reader, keep_others=True)
            for reader in readers(source, here, hive=False)
        ]
        connection.execute(
            f"copy ({' union all by name '.join(selects)}) to '{merged}' "
            "(format parquet, compression zstd)"
        )
        folder = "/".join(filter(None, [source.name, day and source.partition_folder(day)]))
        name = hashlib.sha256("\n".join(file.path for file in files).encode()).hexdigest()[:16]
        target = f"{lake.root}/{folder}/merged-{name}.parquet"
        begun = {"merged": target, "files": [file.path for file in files]}
        lake.write(_journal(lake, source), json.dumps(begun).encode())
        lake.write(target, merged.read_bytes())
    _end(lake, source)
