"""What a compaction does with the files of a lake, in a folder and in S3 alike."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from include.lake.storage.lake import Lake
from include.lake.storage.s3 import S3Lake


class Store(Protocol):
    """The files of a lake, by their paths relative to the lake.

    Other processes may write, replace and remove the files at any time. A version is a text that
    identifies the content of a file. The methods raise UserError if S3 refuses or cannot be
    reached, and OSError for a file of a folder.
    """

    def lock(self, path: str) -> AbstractContextManager[None]:
        """Hold the lock with this path. Raises UserError if another compaction holds it."""

    def holder(self, path: str) -> str:
        """Who holds the lock with this path, or an empty text."""

    def landing_waits(self) -> AbstractContextManager[None]:
        """No landing moves files or decides whether a file is landed within this block."""

    def exists(self, path: str) -> bool:
        """Whether there is a file at a path."""

    def version(self, path: str) -> str | None:
        """The version of the file at a path, or None if there is none."""

    def read_version(self, path: str) -> tuple[bytes, str] | None:
        """The content of the file at a path and its version, or None if there is none."""

    def read(self, path: str) -> bytes:
        """The content of a file."""

    def write(self, path: str, content: bytes) -> None:
        """Write a file. A reader sees the whole file or none."""

    def remove(self, path: str) -> None:
        """Remove a file. A file that does not exist is no error."""

    def move(self, path: str, target: str, version: str) -> None:
        """Move a file if it still has a version. It is at every moment in one of the two places.

        A file that was replaced or removed is left as it is. If the target exists, this ends a
        move that was stopped.
        """

    def is_moved(self, path: str, target: str, version: str) -> bool:
        """Whether `move` moved the version, and no other file is at the path."""

    def put_back(self, path: str, target: str) -> None:
        """Undo a move. A file that was written at the path since then is kept."""

    def make_durable(self, paths: Iterable[str]) -> None:
        """Make the writes and moves of these files durable."""


def open_store(lake: Lake) -> Store:
    """The files of a lake as a store."""
    from include.lake.compaction.folder import FolderStore
    from include.lake.compaction.s3 import S3Store

    return S3Store(lake) if isinstance(lake, S3Lake) else FolderStore(lake)
