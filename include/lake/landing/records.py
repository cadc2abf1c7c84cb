"""Parses lines on which several JSON objects may stand side by side, as Firehose writes them.

A line is one record, unless JSON objects stand side by side on it: then each object is a record.
Every record is landed or rejected, and the records of a line are all of its bytes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa

from include.lake.landing.envelope import (
    BLANK,
    SCHEMA,
    RejectedLineError,
    parse_line,
    parse_lines,
)

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

OBJECTS_AT_ONCE = 1 << 18
"""The most objects of a line that are parsed together. It limits the memory that a line needs."""

# Outside of strings, JSON has no closing brace that an opening brace follows. Where this matches,
# either an object ends and another one begins, or a string is cut into pieces.
_BORDER = re.compile(rb"\}[ \t\r]*\{")
_KEY = b'"event"'
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_BORDERS_TO_TRY = 16
_BYTES_TO_SEARCH = 8 << 20


@dataclass
class Records:
    """The records of some lines: `events` has the columns of SCHEMA, in no particular order.

    `rejected` is (index of the line, bytes of the record, reason). `count` is the number of records
    that were found on the lines, whatever became of them.
    """

    events: pa.Table
    count: int
    rejected: list[tuple[int, bytes, str]] = field(default_factory=list)


def parse_records(lines: Sequence[bytes], arrived_at: int) -> Records:
    """Parse lines that have no newlines. `arrived_at` (epoch seconds) goes into the metadata."""
    filled: Sequence[int] = range(len(lines))
    texts = lines
    # A file may have millions of empty lines, and an exception for each of them would take long.
    if lines.count(b"") * 10 > len(lines):
        filled = [index for index, line in enumerate(lines) if line]
        texts = [lines[index] for index in filled]
    batch = parse_lines(texts, arrived_at)
    records = Records(batch.events, len(lines))
    if len(texts) < len(lines):
        records.rejected = [(index, b"", BLANK) for index, line in enumerate(lines) if not line]
    waiting: list[_Part] = []
    count = 0
    for number, reason in batch.rejected:
        index, line = filled[number], texts[number]
        is_split = False
        for part in _parts(index, line, reason):
            if count + len(part.pieces) > OBJECTS_AT_ONCE:
                _parse_parts(waiting, arrived_at, records)
                waiting, count = [], 0
            waiting.append(part)
            count += len(part.pieces)
            # The line counts as one record until it is split. Its parts then count their records.
            records.count -= not is_split
            is_split = True
        if not is_split:
            records.rejected.append((index, line, reason))
    if waiting:
        _parse_parts(waiting, arrived_at, records)
    return records


def end_of_objects(text: bytes) -> int:
    """Where the last object of an unfinished line begins, so that complete objects are before it.

    Returns 0 if no such place is found. A place counts only if the object before it is an event.
    The text of an event cannot begin inside of a string, because the quotes in a string are
    escaped.
    """
    first = max(0, len(text) - _BYTES_TO_SEARCH)
    borders = (match.end() - 1 for match in _BORDER.finditer(text, first))
    starts = [*([] if first else [0]), *deque(borders, _BORDERS_TO_TRY)]
    for count in range(len(starts) - 1, 0, -1):
        # Borders inside of strings lie between the two ends of an object.
        for start in reversed(starts[:count]):
            try:
                parse_line(text[start : starts[count]], 0)
            except RejectedLineError:
                continue
            return starts[count]
    return 0


@dataclass(frozen=True)
class _Part:
    """Neighbouring pieces of a line, in most cases all of them; `reason` is that of the line."""

    index: int
    pieces: list[bytes]
    reason: str


def _parts(index: int, line: bytes, reason: str) -> Iterator[_Part]:
    """The pieces of a line that may have several objects; nothing if it has one piece only."""
    pieces = _pieces(line) if b"{" in line else iter(())
    while some := list(islice(pieces, OBJECTS_AT_ONCE)):
        if some == [line] and not line.startswith(BYTE_ORDER_MARK):
            return
        text = b"".join(some)
        # Millions of pieces that cannot be events are not parsed one by one.
        yield _Part(index, some if _KEY in text else [text], reason)


def _pieces(line: bytes) -> Iterator[bytes]:
    start = 0
    for match in _BORDER.finditer(line):
        yield line[start : match.end() - 1]
        start = match.end() - 1
    yield line[start:]


def _parse_parts(parts: list[_Part], arrived_at: int, records: Records) -> None:
    """Parse the pieces of parts, and add their records to `records`.

    A part of which nothing can be landed is one rejected record.
    """
    texts = [_without_mark(piece) for part in parts for piece in part.pieces]
    batch = parse_lines(texts, arrived_at)
    refused = dict(batch.rejected)
    rows: list[dict[str, Any]] = []
    start = 0
    for part in parts:
        end = start + len(part.pieces)
        bad = [number - start for number in range(start, end) if number in refused]
        reasons = {number: refused[start + number] for number in bad}
        joined, rejected = _joined(part.pieces, reasons, arrived_at)
        rows += joined
        landed = len(part.pieces) - len(bad) + len(joined)
        if landed:
            records.count += landed + len(rejected)
            records.rejected += [(part.index, text, reason) for text, reason in rejected]
        else:
            records.count += 1
            records.rejected.append((part.index, b"".join(part.pieces), part.reason))
        start = end
    records.events = pa.concat_tables(
        [records.events, batch.events, pa.Table.from_pylist(rows, schema=SCHEMA)]
    )


def _joined(
    pieces: Sequence[bytes], reasons: dict[int, str], arrived_at: int
) -> tuple[list[dict[str, Any]], list[tuple[bytes, str]]]:
    """The rows of objects that were cut inside a string, and the pieces that stay rejected.

    `reasons` has the indexes of the rejected pieces, in order. A cut inside a string leaves an odd
    number of quotes on each side. Pieces are therefore joined until this number is even.
    """
    rows: list[dict[str, Any]] = []
    rejected: list[tuple[bytes, str]] = []
    is_odd = {number: _has_odd_quotes(pieces[number]) for number in reasons}
    behind = 0
    for number, reason in reasons.items():
        if number < behind:
            continue
        if is_odd[number]:
            end = number + 1
            while end in reasons and not is_odd[end]:
                end += 1
            if end in reasons:
                text = _without_mark(b"".join(pieces[number : end + 1]))
                try:
                    rows.append(parse_line(text, arrived_at))
                except RejectedLineError:
                    pass
                else:
                    behind = end + 1
                    continue
        rejected.append((pieces[number], reason))
    return rows, rejected


def _without_mark(text: bytes) -> bytes:
    """The text without a byte order mark. A file that was made of several files has several."""
    return text.removeprefix(BYTE_ORDER_MARK)


def _has_odd_quotes(piece: bytes) -> bool:
    return _ESCAPE.sub(b"", piece).count(b'"') % 2 == 1
