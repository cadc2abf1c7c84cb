"""The landing zone: each event file is landed in the lake's partitions as a whole or not at all.

A file is parsed into a folder under `_landing/staging/`. One rename of this folder into
`_landing/committed/` commits the landing: before it nothing is landed, after it everything will be.
Further renames move the Parquet files into their partitions, under names made from the SHA-256 of
the content, and a receipt under `_landing/receipts/` ends the landing. If a process is killed in
between, the next process that lands or reads finishes the committed landing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO

import msgspec

from include.lake.compaction.journal import MergedFiles
from include.lake.landing.parquet_files import stage
from include.lake.storage.file_lock import file_lock
from include.settings import Settings, UserError

EARLIEST_DATE = date.fromisoformat(Settings.earliest_date)
"""The default of the setting: the first day that an event may have."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Landing:
    """The result of landing one file.

    `lines` is the number of its lines. `landed + rejected` is the number of its records: a line is
    one record, or has several JSON objects side by side, and then each object is one.

    `landed_before` names the source and time of an earlier landing of the same content. In this
    case nothing was added, and the counts are those of the earlier landing.
    """

    source: str
    sha256: str
    lines: int
    landed: int
    rejected: int
    arrived_at: int
    landed_before: str = ""

    def __str__(self) -> str:
        if self.landed_before:
            return f"{self.source}: already landed ({self.landed_before}), nothing added"
        return f"{self.source}: {counts(self.lines, self.landed, self.rejected)}"


def counts(lines: int, landed: int, rejected: int) -> str:
    """The counts as a text. It names the number of records if that is not the number of lines."""
    records = landed + rejected
    side_by_side = "" if records == lines else f" with {records:,} records"
    noun = "line" if lines == 1 else "lines"
    return f"{lines:,} {noun}{side_by_side}, {landed:,} landed, {rejected:,} rejected"


class _Receipt(msgspec.Struct):
    source: str
    sha256: str
    lines: int
    landed: int
    rejected: int
    arrived_at: int
    landed_at: int
    files: list[str]


def finish_landings(lake: Path) -> int:
    """Finish the landings that were committed, and delete those that a process left uncommitted.

    Every reader of the lake calls this first. Returns the number of landings that were finished.
    """
    zone = lake / "_landing"
    # This folder is created last, so without it nothing was ever staged.
    if not (zone / "receipts").is_dir():
        return 0
    with lake_errors(lake), file_lock(zone / "commit.lock", wait=True):
        finished = _roll_forward(lake)
        # A landing that is running holds this lock, and the staged files belong to it.
        with contextlib.suppress(BlockingIOError), file_lock(zone / "lock", wait=False):
            _discard_staged(zone)
    return finished


class LandingZone:
    """The landing zone of a lake: `with LandingZone(lake) as zone`.

    One process at a time can hold it; another one gets a UserError.
    """

    def __init__(self, lake: Path, earliest: date = EARLIEST_DATE) -> None:
        """Events of days before `earliest` are stored under the day of their arrival."""
        self.lake = lake
        self._first_day = (earliest - date(1970, 1, 1)).days
        self._zone = lake / "_landing"
        self._held = contextlib.ExitStack()

    def __enter__(self) -> LandingZone:
        with lake_errors(self.lake), contextlib.ExitStack() as stack:
            for name in ("staging", "committed", "receipts"):
                (self._zone / name).mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(file_lock(self._zone / "lock", wait=False))
            except BlockingIOError:
                raise UserError(
                    f"another landing into {self.lake} is running:"
                    " wait until it has ended, then land again."
                ) from None
            with file_lock(self._zone / "commit.lock", wait=True):
                _roll_forward(self.lake)
            _discard_staged(self._zone)
            self._held = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    def land(
        self,
        source: str,
        stream: IO[bytes],
        arrived_at: int,
        on_block: Callable[[], object] = lambda: None,
    ) -> Landing:
        """Land the decompressed stream of one file.

        `source` is the name of the file, and `arrived_at` its arrival time in epoch seconds.
        `on_block` is called after each block, for a progress bar. Raises UserError if the file or
        the lake makes it impossible; then nothing of the file is landed.
        """
        source = os.fsencode(source).decode("utf-8", "replace")
        with lake_errors(self.lake):
            staged = Path(tempfile.mkdtemp(dir=self._zone / "staging"))
            try:
                found = stage(staged, source, stream, arrived_at, on_block, self._first_day)
                # Without the lock, a compaction could move the landed files while they are found.
                with file_lock(self._zone / "commit.lock", wait=True):
                    before = self._receipt(found.sha256)
                if before:
                    return before
                landing = Landing(
                    source, found.sha256, found.lines, found.landed, found.rejected, arrived_at
                )
                self._commit(staged, landing, found.files)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
        return landing

    def _receipt(self, sha256: str) -> Landing | None:
        path = self._zone / "receipts" / f"{sha256}.json"
        if not os.path.lexists(path):
            return None
        receipt = msgspec.json.decode(path.read_bytes(), type=_Receipt)
        # If somebody removed all its files from the partitions, the content is landed again. The
        # rows of a file that a compaction has moved are in the file into which it was merged.
        landed = [str(_landed_name(name, sha256)) for name in receipt.files]
        if not any((self.lake / name).exists() for name in landed):
            merged = MergedFiles(self.lake)
            if not any(merged.has_rows_of(name) for name in landed):
                return None
        return Landing(
            source=receipt.source,
            sha256=sha256,
            lines=receipt.lines,
            landed=receipt.landed,
            rejected=receipt.rejected,
            arrived_at=receipt.arrived_at,
            landed_before=f"{datetime.fromtimestamp(receipt.landed_at, UTC):%Y-%m-%d %H:%M} UTC"
            f" as {receipt.source}",
        )

    def _commit(self, staged: Path, landing: Landing, files: list[str]) -> None:
        fields = asdict(landing)
        del fields["landed_before"]
        receipt = _Receipt(**fields, landed_at=int(time.time()), files=files)
        (staged / "receipt.json").write_bytes(msgspec.json.encode(receipt))
        folders = {parent for name in files for parent in (staged / name).parents}
        inside = {folder for folder in folders if folder.is_relative_to(staged)}
        _make_durable([staged / "receipt.json", *(staged / name for name in files), *inside])
        with file_lock(self._zone / "commit.lock", wait=True):
            staged.replace(self._zone / "committed" / landing.sha256)
            _make_durable([self._zone / "committed"])
            _roll_forward(self.lake)


def _landed_name(staged_name: str, sha256: str) -> PurePosixPath:
    name = PurePosixPath(staged_name)
    return name.with_name(f"{sha256[:32]}-{name.name}")


def _roll_forward(lake: Path) -> int:
    """Move the files of every committed landing into the partitions; returns their number.

    The caller holds `commit.lock`.
    """
    zone = lake / "_landing"
    finished = 0
    for folder in sorted((zone / "committed").iterdir()):
        receipt = folder / "receipt.json"
        # Without a receipt here the landing is complete, and only its folder was not deleted.
        if receipt.exists():
            touched: set[Path] = set()
            for name in msgspec.json.decode(receipt.read_bytes(), type=_Receipt).files:
                target = lake / _landed_name(name, folder.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                if (folder / name).exists():
                    (folder / name).replace(target)
                touched.update(p for p in target.parents if p.is_relative_to(lake))
            # The renames are flushed first, so that no receipt survives a power cut without them.
            _make_durable(touched)
            receipt.replace(zone / "receipts" / f"{folder.name}.json")
            _make_durable([zone / "receipts"])
            finished += 1
        shutil.rmtree(folder)
    return finished


def _discard_staged(zone: Path) -> None:
    for folder in (zone / "staging").iterdir():
        shutil.rmtree(folder)


def _make_durable(paths: Iterable[Path]) -> None:
    """Flush files and folders to the disk. For many paths, one flush of all disks is cheaper."""
    paths = list(paths)
    if len(paths) > 200:
        os.sync()
        return
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def lake_errors(lake: Path) -> Iterator[None]:
    """Turn an OSError of the lake into a UserError with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            message = (
                f"the disk of the lake {lake} is full: free some space and land again."
                " No file is landed in part."
            )
        elif error.errno in {errno.EEXIST, errno.ENOTDIR}:
            message = f"the lake {lake} is not a folder: set GAME_ANALYTICS_LAKE to a folder."
        else:
            message = (
                f"the lake {lake} cannot be written ({error.strerror or error}):"
                " grant write access, or set GAME_ANALYTICS_LAKE to another folder."
            )
        raise UserError(message) from None
