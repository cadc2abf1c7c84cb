"""What the package can do with a lake, in a folder and in S3 alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import IO, Protocol

from include.lake.sources import Source

THREADS = 16
"""Files that are read or written at a time; a client of S3 keeps as many connections open."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file of a source.

    `path` is its path or URI. `folders` are the folders between the source's folder and the file.
    `size` is in bytes. `changed_at` is UTC without a time zone, as the warehouse stores it.
    `version` is what the store keeps beside it: in S3 the object's ETag, in a folder the time of
    change in nanoseconds.
    """

    path: str
    folders: tuple[str, ...]
    size: int
    changed_at: datetime
    version: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]


class Lake(Protocol):
    """A lake. Its methods take and return paths, which are URIs if the lake is in S3.

    They raise UserError if S3 refuses or cannot be reached, and OSError for a file of a folder.
    """

    @property
    def root(self) -> str:
        """The folder's path or the URI, without a slash at its end."""

    def files(self, source: Source, since: date | None = None) -> Iterable[DataFile]:
        """All files of a source in any order, without those hidden by a leading `_` or `.`.

        Files that are no data files are returned too, so that the caller can refuse them.
        Partitions of months before `since` may be missing. Raises UserError for a lake or folder
        that cannot be listed.
        """

    def footer(self, file: DataFile) -> IO[bytes]:
        """A Parquet file, opened so that its footer can be read."""

    def local_copy(self, file: DataFile, target: Path) -> Path:
        """A path of this machine at which a file can be read.

        It is the file itself if the lake is a folder. A file in S3 is downloaded to `target`.
        """

    def is_unchanged(self, file: DataFile) -> bool:
        """Whether a file has the size and the version with which it was listed."""

    def read(self, path: str) -> bytes:
        """The content of a file."""

    def write(self, path: str, content: bytes) -> None:
        """Write a file. A reader sees the whole file or none."""

    def upload(self, local: Path, path: str) -> None:
        """Write a file with the content of a file of this machine, as `write` does."""

    def remove(self, path: str) -> None:
        """Remove a file. A file that does not exist is no error."""

    def check(self) -> None:
        """Raise UserError if the lake does not exist or cannot be read."""
