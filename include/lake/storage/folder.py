"""A lake in a folder of this machine."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO

from include.lake.sources import Source
from include.lake.storage.lake import DataFile
from include.settings import UserError


class FolderLake:
    """A `Lake` in a folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def root(self) -> str:
        """The folder's path."""
        return str(self.path)

    # Only a lake in S3 leaves out days before `since`, because each request costs time there.
    def files(self, source: Source, since: date | None = None) -> Iterator[DataFile]:  # noqa: ARG002
        """The files of a source. All of them, because listing a folder is cheap.

        Raises UserError for a folder that cannot be listed, for a link to a missing file or back to
        a folder around it, and for a name that is not UTF-8.
        """
        self._check_is_folder()
        folder = self.path / source.name
        start = len(str(folder)) + 1
        for entry in visible_files(folder):
            try:
                stat = entry.stat()
            except OSError as error:
                raise _unreadable(entry, error) from None
            yield DataFile(
                path=entry.path,
                folders=tuple(entry.path[start:].split("/")[:-1]),
                size=stat.st_size,
                changed_at=datetime.fromtimestamp(stat.st_mtime_ns // 1000 / 1e6, UTC).replace(
                    tzinfo=None
                ),
                version=str(stat.st_mtime_ns),
            )

    def footer(self, file: DataFile) -> IO[bytes]:
        """The opened file. Raises OSError."""
        return Path(file.path).open("rb")

    # Only a lake in S3 needs the target.
    def local_copy(self, file: DataFile, target: Path) -> Path:  # noqa: ARG002
        """The path of the file itself."""
        return Path(file.path)

    def is_unchanged(self, file: DataFile) -> bool:
        """Whether a file has the size and the time with which it was listed. Raises OSError."""
        found = Path(file.path).stat()
        return (found.st_size, str(found.st_mtime_ns)) == (file.size, file.version)

    def read(self, path: str) -> bytes:
        """The content of a file. Raises OSError."""
        return Path(path).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        """Write a file under a hidden name, and rename it once the disk has it. Raises OSError."""
        with _renamed_when_written(Path(path)) as file:
            file.write(content)

    def upload(self, local: Path, path: str) -> None:
        """Copy a file to a hidden name, and rename it once the disk has it. Raises OSError."""
        with local.open("rb") as content, _renamed_when_written(Path(path)) as file:
            shutil.copyfileobj(content, file)

    def remove(self, path: str) -> None:
        """Remove a file. Raises OSError."""
        Path(path).unlink(missing_ok=True)

    def check(self) -> None:
        """Raise UserError if the lake is no folder or cannot be read."""
        self._check_is_folder()
        try:
            # Listing a folder and entering it are two rights: `stat` needs the second one.
            next((path.stat() for path in self.path.iterdir()), None)
        except FileNotFoundError:
            raise UserError(
                f"the lake {self.path} does not exist: land events with `make land FILES=…`, "
                "or make sample data with `make generate`."
            ) from None
        except PermissionError:
            message = f"the lake {self.path} cannot be read: give this user access to it."
            raise UserError(message) from None

    def _check_is_folder(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UserError(
                f"the lake {self.path} is a file: set GAME_ANALYTICS_LAKE to a folder, "
                "or move the file."
            )


@contextlib.contextmanager
def _renamed_when_written(path: Path) -> Iterator[IO[bytes]]:
    """A file under a hidden name that gets its own name once the disk has its content."""
    hidden = path.with_name(f".{path.name}")
    hidden.parent.mkdir(parents=True, exist_ok=True)
    with hidden.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    hidden.rename(path)


def visible_files(
    folder: Path, outer: frozenset[tuple[int, int]] | None = None
) -> Iterator[os.DirEntry[str]]:
    """The files in a folder and its subfolders, in any order.

    Files and folders whose names begin with `_` or `.` are left out. `outer` identifies the folders
    around this one. Raises UserError for a folder that cannot be listed, for a name that is not
    UTF-8, and for a link that leads back to one of the folders around it; a missing folder has no
    files.
    """
    try:
        entries = list(os.scandir(folder))
        # A link into a folder above the lake leads back, too.
        around = folder.resolve().parents if outer is None else []
        outer = (outer or frozenset()).union(map(_identity, [folder, *around]))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(
            f"{folder} cannot be listed ({error.strerror}): give this user access to it."
        ) from None
    for entry in entries:
        if entry.name.startswith(("_", ".")):
            continue
        if not _is_utf8(entry.name):
            raise UserError(
                f"{_printable(entry.path)} has a name that is not UTF-8, probably Latin-1 or "
                "Windows-1252: rename it."
            )
        if _is_folder(entry, outer):
            yield from visible_files(Path(entry.path), outer)
        else:
            yield entry


def _is_folder(entry: os.DirEntry[str], outer: frozenset[tuple[int, int]]) -> bool:
    """Whether an entry is a folder. Raises UserError for a link to one of the folders `outer`."""
    try:
        if not entry.is_dir():
            return False
        identity = _identity(Path(entry.path))
    except OSError as error:
        raise _unreadable(entry, error) from None
    if identity in outer:
        raise UserError(f"{entry.path} is a link that leads back to a folder around it: remove it.")
    return True


def _identity(folder: Path) -> tuple[int, int]:
    """The device and the number of a folder, by which a link to it is recognised."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _unreadable(entry: os.DirEntry[str], error: OSError) -> UserError:
    """The error for a file or link whose state cannot be read."""
    if error.errno == errno.ELOOP:
        return UserError(f"{entry.path} is a link that leads back to itself: remove it.")
    return UserError(
        f"{entry.path} cannot be read ({error.strerror}): repair or remove it, then run again."
    )


def _is_utf8(name: str) -> bool:
    """Whether a name can be encoded; Python represents other bytes by half surrogate pairs."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _printable(path: str) -> str:
    """A path with each byte that is not UTF-8 as `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
