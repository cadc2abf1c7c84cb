"""Checks of the lake's files that a run makes before any model reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from include.engine_text import without_values
from include.lake.listing import Listing
from include.lake.sources import Source
from include.lake.storage.lake import THREADS, DataFile, Lake
from include.settings import UserError

SMALL_BYTES = 64 * 1024 * 1024
"""Spectrum reads files of at least this size at full speed; smaller ones cost more requests."""
MANY_FILES = 8
"""A partition with more small files than this is worth a compaction."""

PARQUET_TYPES = {
    "varchar": (pa.types.is_string, pa.types.is_large_string),
    "bigint": (pa.types.is_int64,),
    "varbyte": (pa.types.is_binary, pa.types.is_large_binary),
}
"""The Parquet types that Spectrum reads as each declared type."""


def check_files(
    lake: Lake, source: Source, files: Iterable[DataFile], *, strict: bool
) -> dict[str, int]:
    """Check the footers of Parquet files, several at a time; returns the number of rows by path.

    Raises UserError for the first file that is no readable Parquet. A `strict` check, for Spectrum,
    also raises it for a column of another type than the source declares.
    """

    def check(file: DataFile) -> int | UserError:
        try:
            footer = _footer(lake, file)
        except UserError as error:
            return error
        wrong = _wrong_column(source, footer.schema.to_arrow_schema()) if strict else None
        if wrong:
            return UserError(
                f"{file.path}: {wrong}, and Spectrum does not convert types: `make compact "
                f"SOURCE={source.name}` writes the file again with that type."
            )
        return int(footer.num_rows)

    ordered = sorted(files, key=lambda file: file.path)
    counts: dict[str, int] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for file, found in zip(ordered, pool.map(check, ordered), strict=True):
            if isinstance(found, UserError):
                raise found
            counts[file.path] = found
    return counts


def fits(lake: Lake, source: Source, file: DataFile) -> bool:
    """Whether a Parquet file has the declared types."""
    return _wrong_column(source, _footer(lake, file).schema.to_arrow_schema()) is None


def _footer(lake: Lake, file: DataFile) -> pq.FileMetaData:
    try:
        with lake.footer(file) as end:
            return pq.read_metadata(end)
    except (pa.ArrowException, OSError) as error:
        reason = without_values(str(error).splitlines()[0])
        raise UserError(
            f"{file.path} is no readable Parquet file ({reason}): "
            "replace it or move it out of the lake, then run again."
        ) from None


def _wrong_column(source: Source, schema: pa.Schema) -> str | None:
    """A sentence about the first column that has another type than the declared one, or None."""
    for field in schema:
        declared = source.file_columns.get(field.name.lower())
        allowed = PARQUET_TYPES[declared.split("(")[0]] if declared else ()
        if allowed and not any(is_type(field.type) for is_type in allowed):
            return (
                f"column {field.name} is {field.type}, but source {source.name} declares {declared}"
            )
    return None


def small_files(declared: Sequence[Source], listing: Listing) -> list[str]:
    """A line with the remedy for each source with days of many small files.

    The files of a parsed source do not matter, because its tables read one file per day.
    """
    lines = []
    for source in declared:
        if source.is_parsed:
            continue
        many = [
            files
            for (name, day), files in listing.files.items()
            if name == source.name and day and sum(f.size < SMALL_BYTES for f in files) > MANY_FILES
        ]
        if many:
            files = [file for partition in many for file in partition]
            size = sum(file.size for file in files) / len(files) / 1e6
            lines.append(
                f"{source.name}: {len(many)} day{'s have' if len(many) != 1 else ' has'} more than "
                f"{MANY_FILES} files under 64 MB (on average {size:.1f} MB): "
                f"`make compact SOURCE={source.name}` merges them."
            )
    return lines
