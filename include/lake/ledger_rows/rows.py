"""The rows of raw files: what the parsers return, the reasons of bad rows, and faults of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from include.settings import UserError

WHOLE_DIGITS = 38
"""The digits of the longest integer that is made of a number with a point or an exponent."""
_EXPONENT_LENGTH = 6
NAMED_FAULTS = 5
"""How many refused files an error names."""
RAW_LENGTH = 1000
"""The characters of a bad row's text that are kept."""

REASONS = {
    "too_few_fields": "the row has fewer fields than the header",
    "too_many_fields": "the row has more fields than the header",
    "unclosed_quote": "a quoted value is not closed",
    "quote_across_rows": "a quoted value spans lines that look like rows",
    "malformed_quote": "a quote stands inside a value, or text follows a closing quote",
    "not_utf8": "a binary value is no text in UTF-8",
    "nul_character": "the row contains a NUL character",
    "mixed_line_ends": "the row contains a carriage return that does not end a line",
    "repeated_header": "the row repeats the header",
    "not_json": "the line is not valid JSON, for example because it is cut",
    "not_an_object": "the line is JSON, but not an object",
    "missing_key": "the row lacks a required key and has an undeclared one, so its key is probably "
    "misspelled",
    "nested_too_deeply": "the row has objects or arrays that are nested too deeply",
    "key_occurs_twice": "a key occurs twice with different values",
    "text_too_long": "a value is longer than the column of the table",
    "invalid_unicode": "a text contains half of a surrogate pair",
}
"""The reasons for which a row is bad, each with its explanation."""


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file of the lake: its name, relative to the lake, and the path of a local copy."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The numbers of good and bad rows, and the names of the files with bad rows."""

    good: int
    bad: int
    bad_files: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read: its first line, a key of `REASONS`, and the start of its text."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a file.

    `columns` has an array of text for each declared column, and `lines` has the line numbers of the
    same rows, from 1. The bad rows are not among them.
    """

    lines: pa.Array[Any]
    columns: Sequence[pa.Array[Any]]
    bad: Sequence[BadRow]


class FileFaultError(UserError):
    """Files that cannot be read, each with a message.

    A message names the file, the line if there is one, the likely cause and the remedy. It never
    contains a value of a row, because alerts carry it. The error has the first `NAMED_FAULTS`
    messages in one line, and the number of the other files.
    """

    def __init__(self, *messages: str) -> None:
        self.messages = messages
        text = " ".join(messages[:NAMED_FAULTS])
        if len(messages) > 1:
            text = f"{len(messages)} files are refused: {text}"
        if (more := len(messages) - NAMED_FAULTS) > 0:
            text += f" {more} more file{'s are' if more > 1 else ' is'} refused."
        super().__init__(text)


def whole_text(number: str) -> str:
    """The text of a JSON number: that of its integer if it has one, else the number as it is.

    A number with a decimal point or an exponent, and with more than `WHOLE_DIGITS` digits before
    the point, stays as it is.
    """
    mantissa, _, exponent = number.lower().partition("e")
    whole, _, decimals = mantissa.removeprefix("-").partition(".")
    digits = (whole + decimals).lstrip("0")
    if not digits:
        return "0"
    if (not decimals and not exponent) or len(exponent) > _EXPONENT_LENGTH:
        return number
    significant = digits.rstrip("0")
    zeros = len(digits) - len(significant) - len(decimals) + int(exponent or 0)
    if zeros < 0 or len(significant) + zeros > WHOLE_DIGITS:
        return number
    return f"{'-' * number.startswith('-')}{significant}{'0' * zeros}"


def missing_remedy(kind: str) -> str:
    """What to do about a file that lacks a declared column; `kind` is what a file calls it."""
    return (
        f"rename the {kind} in the file, or add it, or, if files may lack it, give the column "
        "`meta: {optional: true}` in the YAML of the source"
    )


def bad_row(line: int, reason: str, text: str) -> BadRow:
    """A bad row with its text cut to `RAW_LENGTH` characters.

    A NUL character is replaced, because Redshift cannot hold it.
    """
    return BadRow(line, reason, text[:RAW_LENGTH].replace("\x00", "\ufffd"))
