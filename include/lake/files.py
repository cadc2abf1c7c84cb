"""Checks of the lake's files that a run makes before any model reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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


@dataclass(frozen=True)
class CheckedFile:
    """What was read in the footer of a Parquet file: its number of rows, a hash of its schema."""

    row_count: int
    schema: str


def check_files(
    lake: Lake, source: Source, files: Iterable[DataFile], *, strict: bool
) -> dict[str, CheckedFile]:
    """Check the footers of Parquet files, several at a time; returns what was read by path.

    Raises UserError for the first file that is no readable Parquet. A `strict` check, for Spectrum,
    also raises it for a column of another type than the source declares.
    """

    def read(file: DataFile) -> pq.FileMetaData | UserError:
        try:
            return _footer(lake, file)
        except UserError as error:
            return error

    ordered = sorted(files, key=lambda file: file.path)
    schemas = _Schemas()
    checked: dict[str, CheckedFile] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for file, footer in zip(ordered, pool.map(read, ordered), strict=True):
            if isinstance(footer, UserError):
                raise footer
            name, is_new = schemas.name(footer.schema)
            is_checked = strict and is_new
            wrong = _wrong_column(source, footer.schema.to_arrow_schema()) if is_checked else None
            if wrong:
                raise UserError(
                    f"{file.path}: {wrong}, and Spectrum does not convert types: `make compact "
                    f"SOURCE={source.name}` writes the file again with that type."
                )
            checked[file.path] = CheckedFile(int(footer.num_rows), name)
    return checked


class _Schemas:
    """The distinct schemas of Parquet files. Thousands of files usually have one."""

    def __init__(self) -> None:
        self._known: list[tuple[pq.ParquetSchema, pa.Schema, str]] = []

    def name(self, schema: pq.ParquetSchema) -> tuple[str, bool]:
        """A hash of a schema, and whether no file had this schema before."""
        nested = schema.to_arrow_schema()
        for known, known_nested, name in self._known:
            # The first comparison is of the leaves alone, and the second one also of the groups
            # around them. Only the first one sees Parquet's physical types.
            if schema.equals(known) and nested.equals(known_nested):
                return name, False
        # The first line has the address of the object.
        text = "\n".join(str(schema).splitlines()[1:])
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._known.append((schema, nested, name))
        return name, True


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
