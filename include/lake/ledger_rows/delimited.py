"""Parses CSV and TSV files of the ledger.

The header line alone decides the delimiter and the columns; the data is never used to guess them
(RFC 4180 with a free delimiter). A record that does not fit the header is one bad row, and parsing
goes on with the next line, so that one bad row cannot change how other rows are read.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence

from include.lake.ledger_rows.rows import (
    BadRow,
    FileFaultError,
    FileRows,
    GoodRow,
    bad_row,
)

DELIMITERS = (",", ";", "\t", "|")
MAX_RECORD_LINES = 50
"""Lines that one quoted value may span; a longer one is an unclosed quote."""


def parse_delimited(name: str, text: str, columns: Mapping[str, bool]) -> FileRows:
    """Parse the text of a CSV or TSV file.

    `columns` maps each declared column, in lower case, to whether a file must have it. Values of
    columns that the file does not have are null, and so are empty values without quotes. Columns
    that are not declared are left out. Raises FileFaultError for a header that does not fit.
    """
    lines = _lines(name, text)
    header_line = next((index for index, line in enumerate(lines) if line.strip()), None)
    if header_line is None:
        raise FileFaultError(f"{name} has no header line: write it again, or remove it.")
    delimiter, header = _header(name, lines[header_line], columns)
    positions = [header.index(column) if column in header else None for column in columns]
    good: list[GoodRow] = []
    bad: list[BadRow] = []
    for line, record, fields in _records(lines, header_line + 1, delimiter, len(header)):
        if isinstance(fields, str):
            bad.append(bad_row(line, fields, record))
        else:
            values = (None if at is None else fields[at] or None for at in positions)
            good.append(GoodRow(line, tuple(values)))
    return FileRows(good, bad)


def _lines(name: str, text: str) -> list[str]:
    """The lines of a file without their ends, which are LF, CRLF, or CR alone throughout."""
    if "\n" not in text and "\r" in text:
        return text.split("\r")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _header(name: str, line: str, columns: Mapping[str, bool]) -> tuple[str, list[str]]:
    """The delimiter and the column names in lower case; raises FileFaultError if they do not fit."""
    headers = {
        delimiter: [value.strip().lower() for value in _fields(line, delimiter) or []]
        for delimiter in DELIMITERS
    }
    delimiter = max(headers, key=lambda found: len(set(headers[found]) & set(columns)))
    header = headers[delimiter]
    missing = [column for column, must in columns.items() if must and column not in header]
    if missing:
        raise FileFaultError(
            f"{name}, header line: column {missing[0]} is missing; the file has "
            f"{', '.join(header) or 'no columns'}: rename the column in the file, or add it."
        )
    twice = sorted({column for column in header if column and header.count(column) > 1})
    if twice:
        raise FileFaultError(f"{name}, header line: column {twice[0]} occurs twice: remove one.")
    return delimiter, header


def _records(
    lines: Sequence[str], start: int, delimiter: str, width: int
) -> Iterator[tuple[int, str, list[str] | str]]:
    """Each record: its first line's number, its text, and its fields or the reason why it is bad."""
    index = start
    while index < len(lines):
        line = lines[index]
        number = index + 1
        index += 1
        if not line.strip():
            continue
        if line.count('"') % 2:
            spanned = _spanning(lines, index - 1, delimiter, width)
            if spanned is None:
                yield number, line, "unclosed_quote"
                continue
            line, index = spanned
        fields = _fields(line, delimiter)
        if fields is None:
            yield number, line, "malformed_quote"
        elif "\x00" in line:
            yield number, line, "nul_character"
        elif "\r" in line:
            yield number, line, "mixed_line_ends"
        elif len(fields) < width:
            yield number, line, "too_few_fields"
        elif len(fields) > width:
            yield number, line, "too_many_fields"
        else:
            yield number, line, fields


def _spanning(
    lines: Sequence[str], start: int, delimiter: str, width: int
) -> tuple[str, int] | None:
    """The record that begins with a quoted value of several lines, and the index behind it.

    None if the quote is not closed, or if a following line is a whole record by itself: then the
    quote is a mistake, and joining the lines would hide good rows.
    """
    record = lines[start]
    for index in range(start + 1, min(len(lines), start + MAX_RECORD_LINES)):
        if width > 1 and len(_fields(lines[index], delimiter) or []) == width:
            return None
        record += "\n" + lines[index]
        if record.count('"') % 2 == 0:
            fields = _fields(record, delimiter)
            return (record, index + 1) if fields and len(fields) == width else None
    return None


def _fields(record: str, delimiter: str) -> list[str] | None:
    """The fields of one record, or None if its quotes are malformed."""
    if '"' not in record:
        return record.split(delimiter)
    try:
        rows = list(csv.reader([record], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None
