"""Parses CSV and TSV files of the ledger.

The header line alone decides the delimiter and the columns; the data is never used to guess them. A
row that does not fit the header is one bad row, and parsing goes on with the next line, so that a
bad row cannot change how other rows are read. Blank lines are skipped, also above the header. A
first line such as `sep=;`, which Excel writes, states the delimiter.

Columns with an empty or undeclared name are left out. If the header ends with a delimiter, its last
column has an empty name, and each row must have a field for it. If only the rows end with a
delimiter, they have too many fields: a shifted row could look the same.

A footer with as many fields as the header, and a file that ends within the last field of a row,
look like whole rows and cannot be recognised here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from include.lake.ledger_rows.quotes import End, Quotes, count_fault
from include.lake.ledger_rows.rows import (
    BadRow,
    FileFaultError,
    RawFile,
    Rows,
    bad_row,
    missing_remedy,
)
from include.lake.ledger_rows.text_lines import text_blocks

DELIMITERS = (",", ";", "\t", "|")
_SEP_LINE = re.compile(r'"?sep=(.?)"?', re.IGNORECASE)
_CSV_LIMIT = 100_000
"""Python's csv module refuses fields of more than 131,072 characters."""


def delimited_rows(file: RawFile, columns: Mapping[str, bool]) -> Iterator[Rows]:
    """Parse a CSV or TSV file in blocks of rows.

    `columns` maps each declared column, in lower case, to whether a file must have it. Values of
    columns that the file does not have are null, and so are empty values. Raises FileFaultError if
    the file cannot be read or if its header does not fit.
    """
    table: _Table | None = None
    delimiter: str | None = None
    has_end = True
    for first, block in text_blocks(file):
        number, start = first, 0
        has_end = block.endswith("\n")
        while table is None and start < len(block):
            end = block.find("\n", start) + 1 or len(block)
            line = block[start:end].removesuffix("\n").removesuffix("\r")
            if found := _SEP_LINE.fullmatch(line):
                delimiter = _stated(file, number, found[1])
            elif line.strip():
                table = _table(file, number, line, columns, delimiter)
            number, start = number + 1, end
        if table and start < len(block):
            yield from table.rows(number, block[start:].removesuffix("\n"))
    if table is None:
        raise FileFaultError(f"{file.name} is blank: write it again, or remove it from the lake.")
    yield from table.end(is_cut=not has_end)


def _stated(file: RawFile, number: int, delimiter: str) -> str:
    if delimiter not in DELIMITERS:
        raise FileFaultError(
            f"{file.name}, line {number}: the line sep= names another delimiter than a comma, a "
            "semicolon, a tab or a |: write the file with one of them."
        )
    return delimiter


def _table(
    file: RawFile, number: int, line: str, columns: Mapping[str, bool], stated: str | None
) -> _Table:
    """The table that a header line describes; raises FileFaultError if the columns do not fit.

    The messages name no column of the file that is not declared, because the line may be a row.
    """
    place = f"{file.name}, line {number}"
    if "\x00" in line or "\r" in line:
        fault = "a NUL character" if "\x00" in line else "a carriage return that ends no line"
        raise FileFaultError(f"{place}: the header contains {fault}: write the file again.")
    headers = {delimiter: _names(line, delimiter) for delimiter in _candidates(file, stated)}
    delimiter = max(headers, key=lambda found: len(set(headers[found]) & set(columns)))
    header = headers[delimiter]
    found = [column for column in columns if column in header]
    missing = [column for column, is_required in columns.items() if column not in header]
    required = [column for column in missing if columns[column]]
    if not found:
        raise FileFaultError(
            f"{place}: the header has none of the columns {', '.join(columns)}; the file probably "
            "has no header: write the names of the columns into its first line."
        )
    if required:
        others = [at for at, name in enumerate(header, 1) if name not in columns]
        positions = f"undeclared columns: number {', '.join(map(str, others[:20]))}"
        raise FileFaultError(
            f"{place}: the header lacks the column {required[0]} ("
            f"{positions if others else 'all its columns are declared'}): "
            f"{missing_remedy('column')}."
        )
    for column in found:
        if header.count(column) > 1:
            raise FileFaultError(
                f"{place}: the column {column} occurs {header.count(column)} times in the header: "
                "remove or rename all but one."
            )
    positions_of = [header.index(column) if column in header else None for column in columns]
    return _Table(line, Quotes(delimiter, len(header)), positions_of)


def _candidates(file: RawFile, stated: str | None) -> Sequence[str]:
    """The delimiters that the header may have; the first one is taken for a header without any."""
    if stated:
        return (stated,)
    is_tsv = file.name.lower().removesuffix(".gz").endswith(".tsv")
    return ("\t", ",", ";", "|") if is_tsv else DELIMITERS


def _names(line: str, delimiter: str) -> list[str]:
    """The names of a header in lower case; none if its quotes are malformed."""
    quotes = Quotes(delimiter, 0)
    if not quotes.is_record(line):
        return []
    return [name.strip().lower() for name in quotes.fields(line)]


class _Table:
    """The rows below a header.

    Lines that may belong to a value of several lines are held back until the next block.
    """

    def __init__(self, header: str, quotes: Quotes, positions: Sequence[int | None]) -> None:
        self._header = header
        self._quotes = quotes
        self._positions = positions
        self._held: list[str] = []
        self._held_from = 0

    def rows(self, first: int, text: str) -> Iterator[Rows]:
        """Parse a block of lines; `first` is the number of its first line."""
        if not self._held and '"' not in text and "\x00" not in text:
            plain = text
            if "\r" in text:
                plain = text.replace("\r\n", "\n").removesuffix("\r")
            if "\r" not in plain:
                yield self._without_quotes(first, plain.split("\n"))
                return
        if not self._held:
            self._held_from = first
        self._held += text.split("\n")
        yield self._with_quotes(End.LATER)

    def end(self, *, is_cut: bool) -> Iterator[Rows]:
        """Parse the lines that were held back; `is_cut` if the last one has no line end."""
        if self._held:
            yield self._with_quotes(End.CUT if is_cut else End.HERE)

    def _without_quotes(self, first: int, lines: list[str]) -> Rows:
        """Parse lines without quotes and other special characters, which is fast."""
        split, width = self._quotes.delimiter, self._quotes.width
        fields = [line.split(split) for line in lines]
        lengths = list(map(len, fields))
        if width > 1 and lengths.count(width) == len(lines) and self._header not in lines:
            return self._made(range(first, first + len(lines)), fields, [])
        numbers: list[int] = []
        good: list[list[str]] = []
        bad: list[BadRow] = []
        for number, (line, values) in enumerate(zip(lines, fields, strict=True), first):
            if not line or self._is_blank(line):
                continue
            if reason := self._reason(line, len(values)):
                bad.append(bad_row(number, reason, line))
            else:
                numbers.append(number)
                good.append(values)
        return self._made(numbers, good, bad)

    def _with_quotes(self, end: End) -> Rows:
        """Parse the held lines, up to a value that may go on in the next block."""
        lines, first, quotes = self._held, self._held_from, self._quotes
        numbers: list[int] = []
        records: list[str] = []
        bad: list[BadRow] = []
        at = 0
        while at < len(lines):
            line = lines[at].removesuffix("\r")
            number = first + at
            at += 1
            if not line or self._is_blank(line):
                continue
            is_record = quotes.is_record(line)
            if is_record or not quotes.is_open(line):
                reason = self._character_fault(line) or (None if is_record else "malformed_quote")
                if reason:
                    bad.append(bad_row(number, reason, line))
                else:
                    numbers.append(number)
                    records.append(line)
            else:
                span = quotes.span(lines, at - 1, end)
                if span is None:
                    at -= 1
                    break
                spanned = lines[at - 1 : at - 1 + span.count]
                at += span.count - 1
                text = "\n".join(spanned).removesuffix("\r")
                if span.reason is None and (reason := self._character_fault(text)):
                    bad.append(bad_row(number, reason, text))
                elif span.reason is None:
                    numbers.append(number)
                    records.append(text)
                elif span.is_one_row:
                    bad.append(bad_row(number, span.reason, text))
                else:
                    bad += [
                        bad_row(number + offset, span.reason, line.removesuffix("\r"))
                        for offset, line in enumerate(spanned)
                        if line.strip()
                    ]
        self._held, self._held_from = lines[at:], first + at
        return self._fitting(numbers, records, bad)

    def _fitting(self, numbers: list[int], records: list[str], bad: list[BadRow]) -> Rows:
        """The records with as many fields as the header; the others join the bad rows."""
        if any(len(record) > _CSV_LIMIT for record in records):
            fields = list(map(self._quotes.fields, records))
        else:
            fields = list(csv.reader(records, delimiter=self._quotes.delimiter, strict=True))
        good: list[list[str]] = []
        lines: list[int] = []
        for number, record, values in zip(numbers, records, fields, strict=True):
            if reason := self._reason(record, len(values)):
                bad.append(bad_row(number, reason, record))
            else:
                lines.append(number)
                good.append(values)
        return self._made(lines, good, bad)

    def _reason(self, record: str, count: int) -> str | None:
        """Why a record with this number of fields is bad, or None."""
        is_header = record == self._header
        return "repeated_header" if is_header else count_fault(count, self._quotes.width)

    @staticmethod
    def _character_fault(text: str) -> str | None:
        if "\x00" in text:
            return "nul_character"
        if "\r" in text and "\r" in text.replace("\r\n", ""):
            return "mixed_line_ends"
        return None

    def _is_blank(self, line: str) -> bool:
        """Whether the line has no field at all. A line of tabs has fields if tabs delimit them."""
        return not line.strip() and self._quotes.delimiter not in line

    def _made(self, lines: Sequence[int], fields: list[list[str]], bad: list[BadRow]) -> Rows:
        """The rows with their fields in the order of the declared columns."""
        by_position = list(zip(*fields, strict=True)) if fields else []
        return Rows(
            pa.array(lines, pa.int64()),
            [
                pa.nulls(len(fields), pa.string())
                if position is None or not fields
                else pa.array([value or None for value in by_position[position]], pa.string())
                for position in self._positions
            ],
            bad,
        )
