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

MAX_RECORD_LINES = 1000
"""The lines that one row may span. In a longer one, the first quote is not closed."""


@dataclass(frozen=True, slots=True)
class Span:
    """The lines from one with an open quote on that belong together, and what they are.

    `count` is the number of lines. If `reason` is None, the lines are one row. Otherwise each line
    is a bad row if `is_one_row` is False, and all lines together are one bad row if it is True.
    """

    count: int
    reason: str | None
    is_one_row: bool = True


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

    def span(self, lines: Sequence[str], start: int, *, is_end: bool) -> Span | None:
        """What begins at a line whose last quote is open.

        Returns None if `lines` are too few to decide, which needs `is_end` to be False. Of the
        lines behind, the first that has an odd number of quotes closes the quote, or none does.
        """
        limit = start + MAX_RECORD_LINES
        last = next(
            (at for at in range(start + 1, min(len(lines), limit)) if lines[at].count('"') % 2),
            None,
        )
        if last is None:
            return Span(1, "unclosed_quote") if is_end or len(lines) >= limit else None
        # The CR of a CRLF is no part of a line, but it is part of a value of several lines.
        width = len(self.fields("\n".join(lines[start : last + 1])))
        lines = [line.removesuffix("\r") for line in lines[start : last + 1]]
        return self._closed(lines, width)

    def _closed(self, lines: Sequence[str], width: int) -> Span:
        """What the lines are, of which the last one closes the quote that the first one opens.

        `width` is the number of fields if the lines are joined.
        """
        broken = self._first_broken(lines)
        count = len(lines)
        inner = [line for line in lines[1 : -1 if broken is None else broken] if line]
        rows = [self._looks_like_row(line) for line in inner]
        if broken is not None:
            # The line's quotes make sense without the open quote, or nothing speaks against it.
            is_own = self.is_open(lines[broken]) or self.is_record(lines[broken])
            if is_own or all(rows):
                return Span(1, "unclosed_quote")
            return Span(broken + 1, "malformed_quote", is_one_row=False)
        if width == self.width:
            is_pair = self._looks_like_row(lines[0]) and self._looks_like_row(lines[-1])
            if any(rows) or is_pair:
                return Span(count, "quote_across_rows", is_one_row=False)
            return Span(count, None)
        if all(rows) if rows else self._looks_like_row(lines[0]):
            return Span(1, "unclosed_quote")
        if any(rows):
            return Span(count, "quote_across_rows", is_one_row=False)
        return Span(count, "too_few_fields" if width < self.width else "too_many_fields")

    def _first_broken(self, lines: Sequence[str]) -> int | None:
        """The first line whose quotes are malformed if the quote before it is open, or None."""
        for at, line in enumerate(lines[1:-1], 1):
            if '"' in line and not self._inner.fullmatch(line):
                return at
        return None if self._closing.fullmatch(lines[-1]) else len(lines) - 1

    def _looks_like_row(self, line: str) -> bool:
        """Whether a line by itself has the fields of a row, possibly with one stray quote."""
        if self.is_record(line):
            return len(self.fields(line)) == self.width
        return line.count(self.delimiter) == self.width - 1
