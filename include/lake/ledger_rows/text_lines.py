"""Reads a text file in blocks of whole lines: decompresses, checks and decodes its bytes."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from typing import IO, cast

from include.lake.ledger_rows.rows import FileFaultError, RawFile

BLOCK_BYTES = 2 << 20
LONGEST_LINE = 64 << 20
BOM = "\ufeff"

_GZIP = b"\x1f\x8b"
_OTHER_CONTENT = {
    _GZIP: "compressed with gzip: give the name the ending .gz, or decompress the file",
    b"PAR1": "a Parquet file: give the name the ending .parquet",
    b"PK\x03\x04": "a ZIP file or an Excel workbook: write it as CSV",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: compress it with gzip or not at all",
    b"\xfd7zXZ": "compressed with xz: compress it with gzip or not at all",
}
"""The first bytes of files that are no text, each with what they are and the remedy."""


def text_blocks(file: RawFile) -> Iterator[tuple[int, str]]:
    """The text of a file in blocks of whole lines, each with the number of its first line.

    Lines end with LF or CRLF, or all of them with CR alone, which is replaced by LF. A block ends
    with a line end, except at the end of some files. A byte order mark at the start of a line is
    left out.

    Raises FileFaultError if the file has no bytes, cannot be decompressed, is no text in UTF-8, or
    has a line longer than LONGEST_LINE bytes.
    """
    number = 1
    for block, end in _blocks(file):
        text = _decoded(file, number, block, end)
        if end == b"\r":
            text = text.replace("\r", "\n")
        if BOM in text:
            text = text.removeprefix(BOM).replace("\n" + BOM, "\n")
        yield number, text
        number += text.count("\n")


def _blocks(file: RawFile) -> Iterator[tuple[bytes, bytes]]:
    """The decompressed bytes in blocks of whole lines, each with the line end of the file."""
    end: bytes | None = None
    rest = b""
    number = 1
    with _opened(file) as stream:
        while block := _read(file, stream):
            rest += block
            end = end or _line_end(rest)
            if end == b"\r" and b"\n" in rest:
                line = number + rest.count(b"\r", 0, rest.index(b"\n"))
                raise FileFaultError(
                    f"{file.name}, line {line}: the lines before it end with CR alone, this one "
                    "with LF: write all lines with the same line end."
                )
            cut = rest.rfind(end) + 1 if end else 0
            if cut:
                yield rest[:cut], end or b"\n"
                number += rest.count(end or b"\n", 0, cut)
                rest = rest[cut:]
            if len(rest) > LONGEST_LINE:
                raise FileFaultError(
                    f"{file.name}, line {number}: the line is longer than {LONGEST_LINE >> 20} MB, "
                    "so its line ends are probably lost: write the file again."
                )
    if rest:
        yield rest, end or _line_end(rest + b" ") or b"\n"


def _line_end(start: bytes) -> bytes | None:
    """The line end of a file by its first bytes; None if they have none yet."""
    if b"\n" in start:
        return b"\n"
    # A CR at the very end may be the first half of a CRLF.
    return b"\r" if b"\r" in start[:-1] else None


@contextlib.contextmanager
def _opened(file: RawFile) -> Iterator[IO[bytes]]:
    """The stream of the decompressed bytes, after a check of the first bytes."""
    zipped = file.name.lower().endswith(".gz")
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(file.path.open("rb"))
        start = raw.peek(8)[:8]
        if not start:
            raise FileFaultError(
                f"{file.name} has no bytes: write it again, or remove it from the lake."
            )
        if zipped and not start.startswith(_GZIP):
            raise FileFaultError(
                f"{file.name} is not compressed with gzip, although its name ends in .gz: compress "
                "it, or remove that ending."
            )
        stream = stack.enter_context(gzip.GzipFile(fileobj=raw)) if zipped else raw
        if zipped:
            start = _peeked(file, cast(gzip.GzipFile, stream))
            if not start:
                raise FileFaultError(
                    f"{file.name} has no bytes when it is decompressed: write it again, or remove "
                    "it from the lake."
                )
        _check_start(file, start)
        yield cast(IO[bytes], stream)


def _check_start(file: RawFile, start: bytes) -> None:
    for magic, remedy in _OTHER_CONTENT.items():
        if start.startswith(magic):
            raise FileFaultError(f"{file.name} is {remedy}.")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in start[:4]:
        raise FileFaultError(
            f"{file.name} is UTF-16 or UTF-32, as some spreadsheet programs write it: save it as "
            "UTF-8."
        )


def _peeked(file: RawFile, stream: gzip.GzipFile) -> bytes:
    try:
        return stream.peek(8)[:8]
    except (EOFError, OSError, zlib.error) as error:
        raise _damaged(file, error) from None


def _read(file: RawFile, stream: IO[bytes]) -> bytes:
    try:
        return stream.read(BLOCK_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(file, error) from None


def _damaged(file: RawFile, error: Exception) -> FileFaultError:
    """The fault of a gzip file, which stores length and checksum at the end of each member."""
    cause = (
        "its end is missing, probably because an upload stopped half-way"
        if isinstance(error, EOFError)
        else "it is damaged, or has other bytes behind its compressed data"
    )
    return FileFaultError(f"{file.name} cannot be decompressed: {cause}. Upload it again.")


def _decoded(file: RawFile, number: int, block: bytes, end: bytes) -> str:
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        line = number + block.count(end, 0, error.start)
        raise FileFaultError(
            f"{file.name}, line {line}: the byte 0x{block[error.start]:02x} is not UTF-8; the file "
            "is probably Latin-1 or Windows-1252. Save it as UTF-8."
        ) from None
