"""Recognises well-formed quotes in the lines of a CSV file, and values that span several lines.

The rules are those of RFC 4180 with a free delimiter: a quote opens a value only at its start, a
quote inside a quoted value is doubled, and a delimiter or the line's end follows the closing quote.

A quote that a writer forgot can look like a value of several lines. Each reading may be wrong, and
a wrong one would hide good rows in a value, or make rows of a value's text. So lines are only
joined if none of them looks like a row by itself; otherwise all of them are bad rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

MAX_RECORD_LINES = 1000
"""The lines that one row may span. In a longer one, the first quote is not closed."""


class End(Enum):
    """Where a file ends: behind the given lines or later, with or without a last line end."""

    LATER = "later"
    HERE = "here"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Span:
    """The lines from one with an open quote on that belong together, and what they are.

    `count` is the number of lines. If `reason` is None, the lines are one row. Otherwise each line
    is a bad row if `is_one_row` is False, and all lines together are one bad row if it is True.
    """

    count: int
    reason: str | None
    is_one_row: bool = True


def count_fault(found: int, wanted: int) -> str | None:
    """The reason why a row with this number of fields is bad, or None if it is the wanted one."""
    if found == wanted:
        return None
    return "too_few_fields" if found < wanted else "too_many_fields"


class Quotes:
    """The grammar of a file with this delimiter and this number of columns."""

    def __init__(self, delimiter: str, width: int) -> None:
        self.delimiter = delimiter
        self.width = width
        mark = re.escape(delimiter)
        inner = r'[^"]*+(?:""[^"]*+)*+'
        field = rf'(?:"{inner}"|[^"{mark}\n]*+)'
        self._record = re.compile(rf"{field}(?:{mark}{field})*+")
        self._opening = re.compile(rf'(?:{field}{mark})*+"{inner}')
        self._inner = re.compile(rf'{inner}(?:"{mark}(?:{field}{mark})*+"{inner})?')
        self._closing = re.compile(rf'{inner}"(?:{mark}{field})*+')
        self._values = re.compile(rf'{mark}(?:"({inner})"|([^"{mark}\n]*+))')

    def is_record(self, text: str) -> bool:
        """Whether all quotes of the text are well-formed and closed."""
        return '"' not in text or self._record.fullmatch(text) is not None

    def is_open(self, line: str) -> bool:
        """Whether the quotes of the line are well-formed and the last one is not closed."""
        return self._opening.fullmatch(line) is not None

    def fields(self, record: str) -> list[str]:
        """The fields of a record whose quotes are well-formed."""
        if '"' not in record:
            return record.split(self.delimiter)
        found = self._values.findall(self.delimiter + record)
        return [quoted.replace('""', '"') if quoted else plain for quoted, plain in found]

    def span(self, lines: Sequence[str], start: int, end: End) -> Span | None:
        """What begins at a line whose last quote is open.

        Returns None if `lines` are too few to decide, because the file ends later. Of the lines
        behind, the first that has an odd number of quotes closes the quote, or none does. In a file
        that was cut, lines behind a quote that is never closed may be parts of a value, so all of
        them are bad.
        """
        last = self._next_odd(lines, start)
        if last is None:
            if len(lines) >= start + MAX_RECORD_LINES or end is End.HERE:
                return Span(1, "unclosed_quote")
            is_cut = end is End.CUT
            return Span(len(lines) - start, "unclosed_quote", is_one_row=False) if is_cut else None
        # The last line may also begin a value of several lines itself.
        is_own = self.is_open(_without_cr(lines[last]))
        own_last = self._next_odd(lines, last) if is_own else None
        has_all = end is not End.LATER or len(lines) >= last + MAX_RECORD_LINES
        if is_own and own_last is None and not has_all:
            return None
        other_count = 0
        if own_last is not None and self._is_clear_row(lines[last : own_last + 1]):
            # A line that begins a value again speaks for the lines before it.
            is_chain = self.is_open(_without_cr(lines[own_last]))
            other_count = 0 if is_chain else own_last - last
        return self._closed(lines[start : last + 1], other_count)

    def _closed(self, lines: Sequence[str], other_count: int) -> Span:
        """What the lines are, of which the last one closes the quote that the first one opens.

        If `other_count` is not 0, the last line and so many lines behind it would be a row, if the
        quote of the first line were a mistake.
        """
        width = len(self.fields("\n".join(lines)))
        # The CR of a CRLF is no part of a line, but it is part of a value of several lines.
        lines = list(map(_without_cr, lines))
        broken = self._first_broken(lines)
        rows = self._rows_inside(lines[: broken and broken + 1])
        starts_like_row = self._could_be_row(lines[0])
        span = Span(len(lines), "quote_across_rows", is_one_row=False)
        if broken is not None:
            # The line's quotes make sense without the open quote, or nothing speaks against it.
            is_own = self.is_open(lines[broken]) or self.is_record(lines[broken])
            is_unclosed = is_own or all(rows)
            span = Span(broken + 1, "malformed_quote", is_one_row=False)
        elif width == self.width:
            is_unclosed = bool(other_count and rows) and self._all_whole(lines[1:-1])
            is_pair = starts_like_row and self._could_be_row(lines[-1])
            if not rows and starts_like_row and other_count:
                span = Span(len(lines) + other_count, "quote_across_rows", is_one_row=False)
            elif not any(rows) and not is_pair:
                span = Span(len(lines), None)
        else:
            is_unclosed = bool(other_count) or (all(rows) if rows else starts_like_row)
            if not any(rows):
                span = Span(len(lines), count_fault(width, self.width))
        return Span(1, "unclosed_quote") if is_unclosed else span

    def _is_clear_row(self, lines: Sequence[str]) -> bool:
        """Whether the lines are one row, and none between the first and the last is one."""
        width = len(self.fields("\n".join(lines)))
        lines = list(map(_without_cr, lines))
        is_whole = self._first_broken(lines) is None and width == self.width
        return is_whole and not any(self._rows_inside(lines))

    @staticmethod
    def _next_odd(lines: Sequence[str], start: int) -> int | None:
        """The next line behind `start`, in the reach of a row, with an odd number of quotes."""
        reach = range(start + 1, min(len(lines), start + MAX_RECORD_LINES))
        return next((at for at in reach if lines[at].count('"') % 2), None)

    def _first_broken(self, lines: Sequence[str]) -> int | None:
        """The first line whose quotes are malformed if the quote before it is open, or None."""
        for at, line in enumerate(lines[1:-1], 1):
            if '"' in line and not self._inner.fullmatch(line):
                return at
        return None if self._closing.fullmatch(lines[-1]) else len(lines) - 1

    def _rows_inside(self, lines: Sequence[str]) -> list[bool]:
        """For each line between the first and the last one, except blank ones, if it is a row.

        A line with a stray quote is a row if it has the delimiters of one.
        """
        return [
            len(self.fields(line)) == self.width
            if self.is_record(line)
            else line.count(self.delimiter) == self.width - 1
            for line in lines[1:-1]
            if line.strip()
        ]

    def _all_whole(self, lines: Sequence[str]) -> bool:
        """Whether each line, except blank ones, is a whole row."""
        return all(
            self.is_record(line) and len(self.fields(line)) == self.width
            for line in lines
            if line.strip()
        )

    def _could_be_row(self, line: str) -> bool:
        """Whether a line with an odd number of quotes would be a row with one more quote."""
        return line.count(self.delimiter) >= self.width - 1


def _without_cr(line: str) -> str:
    return line.removesuffix("\r")
