"""Landing: event files in, Parquet in the lake's partitions out, each file whole or not at all.

A file is parsed into a folder under `_landing/staging/`. One rename into `_landing/committed/`
decides: before it nothing is landed, after it everything will be. Renames then carry the files into
their partitions, under names made of the content's SHA-256, and a receipt under
`_landing/receipts/` closes the landing. Whoever comes next finishes what a killed process left.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gzip
import hashlib
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, BinaryIO, cast

import click
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.lake.envelope import DAY, SCHEMA, Batch, parse_lines, partition_days
from include.settings import UserError

RAW_EVENTS, REJECTED_EVENTS = "raw_events", "rejected_events"

_REJECTED_TYPES: dict[str, pa.DataType] = {
    "line": pa.binary(),
    "source_file": pa.string(),
    "line_number": pa.int64(),
    "reason": pa.string(),
    "rejected_at": pa.int64(),
}
REJECTED_SCHEMA = pa.schema(_REJECTED_TYPES)
"""The columns of `rejected_events/`: the line's bytes without its newline, numbered from 1."""

SUFFIXES = (".jsonl", ".jsonl.gz")
STDIN = "-"

# Small blocks stay in the processor's cache: parsing is twice as fast at 4 MB as at 32 MB.
BLOCK_BYTES = 4 << 20
LONGEST_LINE = 64 << 20
LINES_AT_ONCE = 1 << 17
# What is held in memory before it is written, and the size from which a file takes no more. Their
# sum stays under 64 MB, the largest file that Redshift Spectrum likes.
BUFFER_BYTES = 32 << 20
FILE_BYTES = 24 << 20
OPEN_FILES = 64
PROGRESS_FROM_BYTES = 8 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_EPOCH = date(1970, 1, 1).toordinal()
# An event's id and payload hardly ever repeat: a dictionary of them would be built and thrown away.
_DICTIONARIES = {
    RAW_EVENTS: [name for name in SCHEMA.names if name not in {"event_id", "event_data"}],
    REJECTED_EVENTS: ["source_file", "reason", "rejected_at"],
}


@dataclass(frozen=True)
class Landing:
    """What became of one file: `landed + rejected == lines`.

    `landed_before` names the source and time of an earlier landing of the same content; then
    nothing was added and the counts are those of that landing.
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
        return (
            f"{self.source}: {self.lines:,} lines, "
            f"{self.landed:,} landed, {self.rejected:,} rejected"
        )


class _Receipt(msgspec.Struct):
    source: str
    sha256: str
    lines: int
    landed: int
    rejected: int
    arrived_at: int
    landed_at: int
    files: list[str]


def partition_folder(dataset: str, day: int) -> PurePosixPath:
    """`raw_events/year=2026/month=09/day=01` for a day counted from 1970."""
    its = date.fromordinal(_EPOCH + day)
    return PurePosixPath(
        dataset, f"year={its.year:04}", f"month={its.month:02}", f"day={its.day:02}"
    )


def finish_landings(lake: Path) -> int:
    """Roll forward what was committed, clear away what was not and has no process any more.

    Whoever reads the lake calls this first. Returns how many landings were rolled forward.
    """
    zone = lake / "_landing"
    # The folder that is made last: without it nothing was ever staged.
    if not (zone / "receipts").is_dir():
        return 0
    with lake_errors(lake), _lock(zone / "commit.lock", wait=True):
        finished = _roll_forward(lake)
        # Held by a landing that is under way: then what is staged belongs to it.
        with contextlib.suppress(BlockingIOError), _lock(zone / "lock", wait=False):
            _discard_staged(zone)
    return finished


class LandingZone:
    """The lake's landing zone, held by one process at a time: `with LandingZone(lake) as zone`."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake
        self._zone = lake / "_landing"
        self._held = contextlib.ExitStack()

    def __enter__(self) -> LandingZone:
        with lake_errors(self.lake), contextlib.ExitStack() as stack:
            for name in ("staging", "committed", "receipts"):
                (self._zone / name).mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(_lock(self._zone / "lock", wait=False))
            except BlockingIOError:
                raise UserError(
                    f"another landing into {self.lake} is under way:"
                    " wait until it has ended, then land again."
                ) from None
            with _lock(self._zone / "commit.lock", wait=True):
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
        """Land the (decompressed) stream of one file, known as `source`, or raise UserError.

        `on_block` is called after each block, for a progress bar.
        """
        source = os.fsencode(source).decode("utf-8", "replace")
        with lake_errors(self.lake):
            staged = Path(tempfile.mkdtemp(dir=self._zone / "staging"))
            try:
                landing, files = _stage(staged, source, stream, arrived_at, on_block)
                before = self._receipt(landing.sha256)
                if before:
                    return before
                self._commit(staged, landing, files)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
        return landing

    def _receipt(self, sha256: str) -> Landing | None:
        path = self._zone / "receipts" / f"{sha256}.json"
        if not os.path.lexists(path):
            return None
        receipt = msgspec.json.decode(path.read_bytes(), type=_Receipt)
        # Somebody who emptied the partitions by hand wants the file landed anew.
        if not any((self.lake / _landed_name(name, sha256)).exists() for name in receipt.files):
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
        with _lock(self._zone / "commit.lock", wait=True):
            staged.replace(self._zone / "committed" / landing.sha256)
            _make_durable([self._zone / "committed"])
            _roll_forward(self.lake)


def land_files(
    lake: Path,
    sources: Sequence[str],
    arrived_at: int | None = None,
    report: Callable[[str], object] = click.echo,
) -> list[Landing]:
    """Land files, the event files of folders, or standard input (`-`), each as its own landing.

    Reports a line per file and one in total. A file that fails raises UserError, which says what
    was landed before it.
    """
    started = time.monotonic()
    landings: list[Landing] = []
    with LandingZone(lake) as zone:
        try:
            for source in sources:
                for name in _event_files(source):
                    arrival = int(time.time()) if arrived_at is None else arrived_at
                    with _open_events(name) as (stream, on_block):
                        landing = zone.land(name, stream, arrival, on_block)
                    landings.append(landing)
                    report(str(landing))
        except UserError as error:
            if not landings:
                raise
            before = ", ".join(landing.source for landing in landings)
            raise UserError(f"{error} Landed before it: {before}.") from None
    new = [landing for landing in landings if not landing.landed_before]
    lines = sum(landing.lines for landing in new)
    seconds = time.monotonic() - started
    report(
        f"{len(landings):,} {'file' if len(landings) == 1 else 'files'}: {lines:,} lines, "
        f"{sum(landing.landed for landing in new):,} landed, "
        f"{sum(landing.rejected for landing in new):,} rejected, "
        f"{len(landings) - len(new):,} already landed; "
        f"{seconds:.1f} s, {lines / seconds:,.0f} lines/s"
    )
    return landings


def _event_files(source: str) -> list[str]:
    try:
        return [STDIN] if source == STDIN else _found(source, Path(source))
    except OSError as error:
        raise _unreadable(source, error) from None


def _found(source: str, path: Path) -> list[str]:
    if path.is_dir():
        found = sorted(_walk(path))
        if not found:
            raise UserError(f"{source} holds no event files: put *.jsonl or *.jsonl.gz there.")
        return found
    if not os.path.lexists(path):
        raise UserError(f"{source} does not exist: give a file, a folder, or - for standard input.")
    if path.is_file() and not source.endswith(SUFFIXES):
        raise UserError(f"{source} is no event file: give *.jsonl or *.jsonl.gz, or pipe it to -.")
    return [source]


def _walk(folder: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise _unreadable(str(error.filename), error)

    for parent, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(("_", "."))]
        for name in files:
            if name.endswith(SUFFIXES) and not name.startswith(("_", ".")):
                yield str(Path(parent, name))


@contextlib.contextmanager
def _open_events(name: str) -> Iterator[tuple[IO[bytes], Callable[[], object]]]:
    """The decompressed bytes of a file, and what moves its progress bar."""
    with contextlib.ExitStack() as stack:
        try:
            raw: BinaryIO = (
                sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb"))
            )
            zipped = name.endswith(".gz") or raw.peek(2)[:2] == b"\x1f\x8b"  # type: ignore[attr-defined]
            size = os.fstat(raw.fileno()).st_size if raw.seekable() else 0
        except OSError as error:
            raise _unreadable(name, error) from None
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if zipped else raw
        if size < PROGRESS_FROM_BYTES or not sys.stderr.isatty():
            yield stream, lambda: None
            return
        bar = stack.enter_context(
            click.progressbar(length=size, label=Path(name).name, file=sys.stderr)
        )
        yield stream, lambda: bar.update(raw.tell() - bar.pos)


def _unreadable(source: str, error: Exception) -> UserError:
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return UserError(
            f"{source} is a damaged or incomplete gzip file ({error}): fetch it again;"
            " nothing of it is landed."
        )
    reason = getattr(error, "strerror", None) or error
    return UserError(
        f"{source} cannot be read ({reason}): make it readable and land it again;"
        " nothing of it is landed."
    )


def _blocks(source: str, stream: IO[bytes]) -> Iterator[bytes]:
    """The stream in blocks of whole lines; the last line may lack its newline."""
    rest = b""
    while True:
        try:
            block = stream.read(BLOCK_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(source, error) from None
        if not block:
            break
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = block[end:]
        else:
            rest += block
        if len(rest) > LONGEST_LINE:
            raise UserError(
                f"{source} has a line of over {LONGEST_LINE >> 20} MB, which no event is:"
                " check the file; nothing of it is landed."
            )
    if rest:
        yield rest


def _stage(
    folder: Path,
    source: str,
    stream: IO[bytes],
    arrived_at: int,
    on_block: Callable[[], object],
) -> tuple[Landing, list[str]]:
    """Write a stream's rows below `folder`; returns the counts and the files' relative names."""
    content = hashlib.sha256()
    counted = 0
    with _PartitionFiles(folder) as files:
        for block in _blocks(source, stream):
            content.update(block)
            lines = block.split(b"\n")
            if not lines[-1]:
                lines.pop()
            for start in range(0, len(lines), LINES_AT_ONCE):
                some = lines[start : start + LINES_AT_ONCE]
                batch = parse_lines(some, arrived_at)
                files.add(RAW_EVENTS, batch.events, partition_days(batch.events, arrived_at))
                if batch.rejected:
                    table = _rejected(batch, some, source, counted + start, arrived_at)
                    day = pa.repeat(arrived_at // DAY, table.num_rows)
                    files.add(REJECTED_EVENTS, table, day)
            # Counted apart from the parsing, so that the check below can fail.
            counted += block.count(b"\n") + (not block.endswith(b"\n"))
            on_block()
    landed, rejected = files.rows[RAW_EVENTS], files.rows[REJECTED_EVENTS]
    if not counted:
        raise UserError(f"{source} is empty: there is nothing to land; check where it came from.")
    if landed + rejected != counted:
        raise UserError(
            f"{source} has {counted:,} lines, but {landed:,} would be landed and {rejected:,}"
            " rejected: nothing of it is landed; report this as a fault of the landing."
        )
    landing = Landing(source, content.hexdigest(), counted, landed, rejected, arrived_at)
    return landing, files.names


def _rejected(
    batch: Batch, lines: Sequence[bytes], source: str, offset: int, arrived_at: int
) -> pa.Table:
    count = len(batch.rejected)
    return pa.table(
        [
            pa.array([lines[index] for index, _ in batch.rejected], pa.binary()),
            pa.repeat(source, count),
            pa.array([offset + index + 1 for index, _ in batch.rejected], pa.int64()),
            pa.array([reason for _, reason in batch.rejected], pa.string()),
            pa.repeat(arrived_at, count),
        ],
        schema=REJECTED_SCHEMA,
    )


class _PartitionFiles:
    """Parquet files by data set and day; few are open and little is held at any time."""

    def __init__(self, folder: Path) -> None:
        self.rows = {RAW_EVENTS: 0, REJECTED_EVENTS: 0}
        self.names: list[str] = []
        self._folder = folder
        self._held: dict[str, list[tuple[pa.Table, pa.Array[Any]]]] = {}
        self._held_bytes = 0
        self._open: OrderedDict[PurePosixPath, tuple[pq.ParquetWriter, IO[bytes]]] = OrderedDict()
        self._count: dict[PurePosixPath, int] = {}

    def __enter__(self) -> _PartitionFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._write()
                while self._open:
                    self._close(next(iter(self._open)))
        finally:
            for writer, file in self._open.values():
                with contextlib.suppress(OSError, ValueError, pa.ArrowException):
                    writer.close()
                # Else the writer tries once more when it is collected, and warns.
                writer.is_open = False
                with contextlib.suppress(OSError):
                    file.close()

    def add(self, dataset: str, table: pa.Table, days: pa.Array[Any]) -> None:
        self._held.setdefault(dataset, []).append((table, days))
        self._held_bytes += table.nbytes
        if self._held_bytes >= BUFFER_BYTES:
            self._write()

    def _write(self) -> None:
        for dataset, held in self._held.items():
            table = pa.concat_tables([table for table, _ in held])
            days = pa.concat_arrays([days for _, days in held])
            for day, part in _by_day(table, days):
                self._write_part(dataset, partition_folder(dataset, day), part)
        self._held = {}
        self._held_bytes = 0

    def _write_part(self, dataset: str, partition: PurePosixPath, table: pa.Table) -> None:
        if partition not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._close(next(iter(self._open)))
            number = self._count[partition] = self._count.get(partition, -1) + 1
            name = f"{partition}/{number:04}.parquet"
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            file: IO[bytes] = path.open("wb")
            options: dict[str, Any] = {
                "compression": "zstd",
                "use_dictionary": _DICTIONARIES[dataset],
                "store_schema": False,
            }
            writer = pq.ParquetWriter(file, table.schema, **options)
            self._open[partition] = (writer, file)
            self.names.append(name)
        writer, file = self._open[partition]
        writer.write_table(table)
        self.rows[dataset] += table.num_rows
        if file.tell() >= FILE_BYTES:
            self._close(partition)

    def _close(self, partition: PurePosixPath) -> None:
        writer, file = self._open[partition]
        writer.close()
        file.close()
        del self._open[partition]


def _by_day(table: pa.Table, days: pa.Array[Any]) -> Iterator[tuple[int, pa.Table]]:
    """The table's rows day by day. Events mostly come in order of time: then nothing is copied."""
    runs = pc.call_function("run_end_encode", [days])
    if len(runs.values) > 4 * len(runs.values.unique()):
        order = pc.sort_indices(days)
        table = table.combine_chunks().take(order)
        runs = pc.call_function("run_end_encode", [days.take(order)])
    parts: dict[int, list[pa.Table]] = {}
    start = 0
    for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        parts.setdefault(day, []).append(table.slice(start, end - start))
        start = end
    for day in sorted(parts):
        yield day, pa.concat_tables(parts[day])


def _landed_name(staged_name: str, sha256: str) -> PurePosixPath:
    name = PurePosixPath(staged_name)
    return name.with_name(f"{sha256[:32]}-{name.name}")


def _roll_forward(lake: Path) -> int:
    """Carry every committed landing into the partitions. The caller holds `commit.lock`."""
    zone = lake / "_landing"
    finished = 0
    for folder in sorted((zone / "committed").iterdir()):
        receipt = folder / "receipt.json"
        # Without it the landing was complete and only its folder was left.
        if receipt.exists():
            touched: set[Path] = set()
            for name in msgspec.json.decode(receipt.read_bytes(), type=_Receipt).files:
                target = lake / _landed_name(name, folder.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                if (folder / name).exists():
                    (folder / name).replace(target)
                touched.update(p for p in target.parents if p.is_relative_to(lake))
            # The receipt must not outlive a power cut that the renames did not.
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
    """Flush files and folders to the disk; for many, one flush of everything is cheaper."""
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
def _lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock that ends with the process; raises BlockingIOError when it is not to wait."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


@contextlib.contextmanager
def lake_errors(lake: Path) -> Iterator[None]:
    """Say in one sentence why the lake cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            message = (
                f"the disk of the lake {lake} is full: free some space and land again;"
                " nothing is half landed."
            )
        elif error.errno in {errno.EEXIST, errno.ENOTDIR}:
            message = f"the lake {lake} is not a folder: set GAME_ANALYTICS_LAKE to a folder."
        else:
            message = (
                f"the lake {lake} cannot be written ({error.strerror or error}):"
                " grant write access, or set GAME_ANALYTICS_LAKE to another folder."
            )
        raise UserError(message) from None
