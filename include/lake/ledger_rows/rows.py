"""The rows of one ledger file, and the decoding of the file's bytes to text."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from include.settings import UserError

RAW_LENGTH = 1000
"""Characters of a bad row's text that are kept."""


@dataclass(frozen=True, slots=True)
class GoodRow:
    """A row that has a value, or null, for each declared column; `line` counts from 1."""

    line: int
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read: its first line, why, and the start of its text."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class FileRows:
    """All rows of a file, in the order of their lines."""

    good: Sequence[GoodRow]
    bad: Sequence[BadRow]


class FileFaultError(UserError):
    """A whole file cannot be read; the message names the file, the line and the likely cause."""


def bad_row(line: int, reason: str, text: str) -> BadRow:
    """A bad row with its text cut to `RAW_LENGTH` characters."""
    return BadRow(line, reason, text[:RAW_LENGTH])


def unpacked(name: str, content: bytes) -> bytes:
    """The bytes of a file, decompressed if its name ends in `.gz`.

    Raises FileFaultError if the file is empty, if the gzip stream is damaged or ends early, or if
    its length or checksum is wrong: gzip (RFC 1952) stores both at the end of each member.
    """
    if not content:
        raise FileFaultError(f"{name} has no bytes: write it again, or remove it from the lake.")
    if not name.lower().endswith(".gz"):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            return stream.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        cause = (
            "the upload of the file probably stopped half-way"
            if isinstance(error, EOFError)
            else "the file is damaged or is not compressed with gzip"
        )
        raise FileFaultError(
            f"{name} cannot be decompressed ({error}); {cause}: upload it again."
        ) from None


def decoded(name: str, content: bytes) -> str:
    """The text of a file in UTF-8, without a byte order mark.

    Raises FileFaultError with the line of the first byte that is not UTF-8 and the likely cause.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in content[:2:1]:
        raise FileFaultError(
            f"{name} is UTF-16, as some spreadsheet programs write it: save it as UTF-8."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileFaultError(
            f"{name}, line {line}: the byte 0x{content[error.start]:02x} is not UTF-8; the file is "
            "probably Latin-1 or Windows-1252: save it as UTF-8."
        ) from None
