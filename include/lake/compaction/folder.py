"""The files of a lake in a folder, as a compaction needs them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from include.lake.storage.file_lock import file_lock, is_locked
from include.lake.storage.lake import Lake
from include.settings import UserError

TICK_NS = 20_000_000
"""Two changes of a file within this time may leave it with one time of change."""


class FolderStore:
    """A `Store` of a lake in a folder."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._root = Path(lake.root)

    @contextlib.contextmanager
    def lock(self, path: str) -> Iterator[None]:
        """Hold a file lock, which also ends with the process."""
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(file_lock(file, wait=False))
            except BlockingIOError:
                raise UserError(
                    f"another compaction of {file.stem} in {self._root} is running: wait until it "
                    "has ended, then run again."
                ) from None
            yield

    def holder(self, path: str) -> str:
        """A text that is not empty if a process holds the lock."""
        return "a process of this machine" if is_locked(self._root / path) else ""

    @contextlib.contextmanager
    def landing_waits(self) -> Iterator[None]:
        """Hold the lock under which a landing moves its files and looks for its receipt."""
        zone = self._root / "_landing"
        zone.mkdir(parents=True, exist_ok=True)
        with file_lock(zone / "commit.lock", wait=True):
            yield

    def exists(self, path: str) -> bool:
        """Whether there is a file at a path."""
        return (self._root / path).exists()

    def version(self, path: str) -> str | None:
        """The size, the time of change and the inode of a file."""
        try:
            return _version((self._root / path).stat())
        except FileNotFoundError:
            return None

    def read_version(self, path: str) -> tuple[bytes, str] | None:
        """The content and the version, read again until the file stays unchanged meanwhile."""
        try:
            while True:
                with (self._root / path).open("rb") as file:
                    before = os.fstat(file.fileno())
                    content = file.read()
                    after = os.fstat(file.fileno())
                # A change that follows within the same tick of the clock would not be seen.
                is_old = not 0 <= time.time_ns() - before.st_mtime_ns < TICK_NS
                if is_old and _version(before) == _version(after):
                    return content, _version(after)
                time.sleep(TICK_NS / 1e9)
        except FileNotFoundError:
            return None

    def read(self, path: str) -> bytes:
        """The content of a file."""
        return self._lake.read(self._full(path))

    def write(self, path: str, content: bytes) -> None:
        """Write a file under a hidden name, and rename it once the disk has it."""
        self._lake.write(self._full(path), content)
        self.make_durable([path])

    def remove(self, path: str) -> None:
        """Remove a file, and what a killed process has written of it under its hidden name."""
        self._lake.remove(self._full(path))
        file = self._root / path
        file.with_name(f".{file.name}").unlink(missing_ok=True)

    def move(self, path: str, target: str, version: str) -> None:
        """Rename a file if it still has a version.

        An export may replace the file just before it is renamed. `is_moved` detects that by the
        version at the target, and `put_back` moves the file back.
        """
        if self.version(target) is None and self.version(path) == version:
            (self._root / target).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                (self._root / path).rename(self._root / target)

    def is_moved(self, path: str, target: str, version: str) -> bool:
        """Whether the version is at the target and nothing is at the path."""
        return self.version(target) == version and self.version(path) is None

    def put_back(self, path: str, target: str) -> None:
        """Give the file its old name back, unless another file has it."""
        here, there = self._root / path, self._root / target
        try:
            # Unlike a rename, a link never replaces a file that an export has just written.
            here.hardlink_to(there)
        except (FileNotFoundError, FileExistsError):
            return
        except OSError:
            # This file system has no hard links.
            if not here.exists():
                there.rename(here)
        else:
            there.unlink()

    def make_durable(self, paths: Iterable[str]) -> None:
        """Flush the folders of files to the disk."""
        for folder in {(self._root / path).parent for path in paths}:
            if folder.is_dir():
                descriptor = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def _full(self, path: str) -> str:
        return f"{self._lake.root}/{path}"


def _version(stat: os.stat_result) -> str:
    return f"{stat.st_size} bytes, changed {stat.st_mtime_ns}, inode {stat.st_ino}"
