"""Finds the event files of a source, opens them, and reads them in blocks of whole lines."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import click

from include.lake.landing.folder_search import ENDINGS, Found, search_folder
from include.lake.landing.records import BYTE_ORDER_MARK, end_of_objects
from include.settings import UserError

STDIN = "-"

# Blocks of 4 MB stay in the processor's cache, so parsing is twice as fast as with 32 MB.
BLOCK_BYTES = 4 << 20
LONGEST_LINE = 64 << 20
PROGRESS_FROM_BYTES = 8 << 20

# How files of other kinds begin, and what to do with them.
_OTHER_KINDS = {
    b"PAR1": (
        "a Parquet file, and landing reads lines of JSON: if it has the columns of raw_events/, "
        "copy it into the lake, under raw_events/year=YYYY/month=MM/day=DD/"
    ),
    b"\x1f\x8b": "compressed with gzip twice: decompress it once",
    b"PK\x03\x04": "a zip file: unzip it",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: decompress it, or compress it with gzip",
    b"\xfd7zXZ": "compressed with xz: decompress it, or compress it with gzip",
    b"BZh9": "compressed with bzip2: decompress it, or compress it with gzip",
}
_UTF_16 = re.compile(rb"\xff\xfe.\0|\xfe\xff\0|[\[{]\0.\0|\0[\[{]\0", re.DOTALL)


def event_files(source: str, lake: Path) -> Found:
    """The event files of `source`, which is a file, a folder, or standard input.

    A file is read whatever its name is. Of a folder, the result also has what cannot be read.
    Raises UserError if there is no event file.
    """
    if source == STDIN:
        return Found([STDIN])
    path = Path(source)
    try:
        if not path.is_dir():
            if not os.path.lexists(path):
                raise UserError(
                    f"{shown(source)} does not exist: give a file, a folder, or - for standard "
                    "input, and put quotes around a name that has spaces."
                )
            return Found([source])
        found = search_folder(path, lake)
    except OSError as error:
        raise _unreadable(source, error) from None
    if not found.files:
        others = f" {not_read(found)}" if found.not_read else ""
        raise UserError(
            f"{shown(source)} has no event files: put {', '.join(f'*{one}' for one in ENDINGS)} "
            f"files there, plain or with .gz.{others}"
        )
    return found


def not_read(found: Found) -> str:
    """A sentence that names what was not read, at most five of them, with the reasons."""
    count = len(found.not_read)
    names = "; ".join(f"{shown(path)}: {reason}" for path, reason in found.not_read[:5])
    more = f"; and {count - 5:,} more" if count > 5 else ""
    return (
        f"{count:,} {'file or folder was' if count == 1 else 'files or folders were'} not read "
        f"({names}{more})."
    )


def shown(name: str) -> str:
    """A file's name as one line that can be printed, whatever characters it has."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


@contextlib.contextmanager
def open_events(name: str) -> Iterator[tuple[IO[bytes], Callable[[], object]]]:
    """The stream of a file's decompressed bytes, and a function that updates its progress bar."""
    with contextlib.ExitStack() as stack:
        try:
            # Standard input is a buffered reader, too, although its type is a wider one.
            raw = cast(
                io.BufferedReader,
                sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb")),
            )
            zipped = name.lower().endswith(".gz") or raw.peek(2)[:2] == b"\x1f\x8b"
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


def blocks(source: str, stream: IO[bytes]) -> Iterator[bytes]:
    """The stream in blocks of whole lines, without a byte order mark at its start.

    The last line may have no newline. A line that fills whole blocks with JSON objects is cut
    between two of them, so only a block without a newline at its end is continued by the next one.
    Raises UserError if the stream is no text, cannot be read, or has a longer record than
    LONGEST_LINE.
    """
    rest = b""
    is_first = True
    while True:
        try:
            block = stream.read(BLOCK_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(source, error) from None
        if is_first:
            _check_kind(source, block)
            block = block.removeprefix(BYTE_ORDER_MARK)
            is_first = False
        if not block:
            break
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = block[end:]
        else:
            rest += block
            end = end_of_objects(rest)
            if end:
                yield rest[:end]
                rest = rest[end:]
        if len(rest) > LONGEST_LINE:
            raise UserError(
                f"{shown(source)} has a line of more than {LONGEST_LINE >> 20} MB that is not made"
                " of events: check the file. None of its lines is landed."
            )
    if rest:
        yield rest


def _check_kind(source: str, head: bytes) -> None:
    for beginning, kind in _OTHER_KINDS.items():
        if head.startswith(beginning):
            raise UserError(f"{shown(source)} is {kind}. None of its lines is landed.")
    if _UTF_16.match(head):
        raise UserError(
            f"{shown(source)} is text in UTF-16: save it as UTF-8. None of its lines is landed."
        )


def _unreadable(source: str, error: Exception) -> UserError:
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return UserError(
            f"{shown(source)} is a damaged or incomplete gzip file ({error}): fetch it again."
            " None of its lines is landed."
        )
    if isinstance(error, FileNotFoundError):
        cause = "the file to which it is a link" if Path(source).is_symlink() else "it"
        return UserError(
            f"{shown(source)} cannot be read, because {cause} does not exist: check where it went"
            " and land it again. None of its lines is landed."
        )
    reason = getattr(error, "strerror", None) or error
    return UserError(
        f"{shown(source)} cannot be read ({reason}): make it readable and land it again."
        " None of its lines is landed."
    )
