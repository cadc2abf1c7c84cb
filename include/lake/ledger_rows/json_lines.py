"""Parses files with one JSON object per line.

Keys match the declared columns in any letter case. Objects side by side on one line are one row
each. Objects and arrays become JSON text, and `true` and `false` become text. A part of a line that
is not an object is one bad row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import pyarrow as pa

from include.lake.ledger_rows.rows import (
    BadRow,
    FileFaultError,
    RawFile,
    Rows,
    bad_row,
    missing_remedy,
    whole_text,
)
from include.lake.ledger_rows.text_lines import text_blocks

ROWS_AT_ONCE = 20_000
_BLANKS = " \t\r"
_KNOWN_SHAPES = 10_000
"""The number of different sequences of keys whose places are remembered."""
_DEEPEST = 100
"""The levels of objects and arrays that the value of a declared column may have."""

Values: TypeAlias = list[str | None]


def json_rows(file: RawFile, columns: Mapping[str, bool]) -> Iterator[Rows]:
    """Parse a file of JSON lines in blocks of rows.

    `columns` maps each declared column, in lower case, to whether a file must have it. A key that a
    row does not have is null. A row that lacks a key it must have, and has a key that is not
    declared, is bad, because the key is probably misspelled. Raises FileFaultError if the file
    cannot be read, or if a column that it must have is a key of no row.
    """
    objects = _Objects(columns)
    is_blank = True
    for first, block in text_blocks(file):
        if is_blank and (start := block.lstrip()):
            is_blank = False
            number = first + block.count("\n", 0, len(block) - len(start))
            _check_start(file, number, start)
        yield from objects.rows(first, block.removesuffix("\n"))
    if is_blank:
        raise FileFaultError(f"{file.name} is blank: write it again, or remove it from the lake.")
    missing = [column for column, must in columns.items() if must and column not in objects.found]
    if objects.has_rows and missing:
        raise FileFaultError(
            f"{file.name}: no row has the key {missing[0]}: {missing_remedy('key')}."
        )


def _check_start(file: RawFile, number: int, start: str) -> None:
    if start.startswith("["):
        raise FileFaultError(
            f"{file.name}, line {number}: the file begins a JSON array: write one object per line, "
            "for example with `jq -c '.[]'`."
        )
    if start.partition("\n")[0].strip() == "{":
        raise FileFaultError(
            f"{file.name}, line {number}: an object spans several lines: write one object per "
            "line, for example with `jq -c .`."
        )


class _Objects:
    """The objects of a file's lines.

    `found` are the declared columns that some object has. `has_rows` is whether there is a good row
    or one with a misspelled key.
    """

    def __init__(self, columns: Mapping[str, bool]) -> None:
        self.found: set[str] = set()
        self.has_rows = False
        self._columns = tuple(columns)
        self._required = {column for column, is_required in columns.items() if is_required}
        self._places: dict[tuple[str, ...], list[int | None] | str | None] = {}

    def rows(self, first: int, block: str) -> Iterator[Rows]:
        """Parse a block of lines; `first` is the number of its first line."""
        numbers: list[int] = []
        good: list[Values] = []
        bad: list[BadRow] = []
        for number, line in enumerate(block.split("\n"), first):
            if not line or line.isspace():
                continue
            start: int | None = 0
            row: _Pairs | Values | str
            while start is not None:
                begin, start, value = _next_object(line, start)
                row = value
                if not isinstance(row, str):
                    # Only an escape can make a NUL character or half of a surrogate pair.
                    has_escape = line.find("\\u", begin, start or len(line)) >= 0
                    row = self._values(row, has_escape=has_escape)
                if isinstance(row, str):
                    bad.append(bad_row(number, row, line[begin:start]))
                else:
                    numbers.append(number)
                    good.append(row)
                if len(good) >= ROWS_AT_ONCE:
                    yield self._made(numbers, good, bad)
                    numbers, good, bad = [], [], []
        yield self._made(numbers, good, bad)

    def _values(self, pairs: _Pairs, *, has_escape: bool) -> Values | str:
        """The values of the declared columns, or the reason why the row is bad."""
        if not pairs:
            return [None] * len(self._columns)
        keys, found = zip(*pairs, strict=True)
        places = self._places_of(keys)
        if isinstance(places, str):
            return places
        try:
            if places is None:
                values = self._repeated(pairs)
                if values is None:
                    return "key_occurs_twice"
            else:
                values = [None if place is None else _text(found[place]) for place in places]
        except _TooDeepError:
            return "nested_too_deeply"
        return (has_escape and _character_fault(values)) or values

    def _places_of(self, keys: tuple[str, ...]) -> list[int | None] | str | None:
        """The place of each declared column among the keys.

        None if one of them occurs twice, and the reason if a row with these keys is bad.
        """
        if keys in self._places:
            return self._places[keys]
        lower = [key.lower() for key in keys]
        self.found.update(set(lower) & set(self._columns))
        places: list[int | None] | str | None = None
        if not self._required.issubset(lower) and not set(lower).issubset(self._columns):
            self.has_rows = True
            places = "missing_key"
        elif all(lower.count(column) <= 1 for column in self._columns):
            places = [lower.index(column) if column in lower else None for column in self._columns]
        if len(self._places) < _KNOWN_SHAPES:
            self._places[keys] = places
        return places

    def _repeated(self, pairs: _Pairs) -> Values | None:
        """The values of a row with repeated keys, or None if the values of a key differ."""
        row: dict[str, str | None] = {}
        for key, value in pairs:
            column, text = key.lower(), _text(value)
            if column in self._columns and row.setdefault(column, text) != text:
                return None
        return [row.get(column) for column in self._columns]

    def _made(self, numbers: list[int], good: list[Values], bad: list[BadRow]) -> Rows:
        self.has_rows = self.has_rows or bool(good)
        by_column: Sequence[Sequence[str | None]] = list(zip(*good, strict=True))
        return Rows(
            pa.array(numbers, pa.int64()),
            [pa.array(values, pa.string()) for values in by_column or [[]] * len(self._columns)],
            bad,
        )


class _Number(str):
    """A JSON number as it is written in the file, so that no digit is lost."""

    __slots__ = ()


class _TooDeepError(Exception):
    """A value has more than `_DEEPEST` levels."""


class _Pairs(list[tuple[str, object]]):
    """The key-value pairs of an object, repeated keys included."""

    __slots__ = ()


def _refuse(constant: str) -> object:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_float=_Number, parse_int=_Number, parse_constant=_refuse
)


def _next_object(line: str, start: int) -> tuple[int, int | None, _Pairs | str]:
    """The next value of a line from `start` on.

    Returns where it begins, where the one behind it begins or None if there is none, and its pairs
    or the reason why it is bad. What follows an object must begin another one. Otherwise both are
    bad, because the object may have lost a part of itself.
    """
    begin = start
    while line[begin] in _BLANKS:
        begin += 1
    try:
        value, end = _DECODER.raw_decode(line, begin)
    except ValueError:
        return begin, None, "not_json"
    except RecursionError:
        return begin, None, "nested_too_deeply"
    while end < len(line) and line[end] in _BLANKS:
        end += 1
    if end == len(line):
        return begin, None, value if isinstance(value, _Pairs) else "not_an_object"
    if not isinstance(value, _Pairs) or line[end] != "{":
        return begin, None, "not_json"
    return begin, end, value


def _character_fault(values: Values) -> str | None:
    """Why a row with these values is bad because of one character, or None."""
    text = "".join(value for value in values if value)
    if "\x00" in text:
        return "nul_character"
    has_half_a_pair = any("\ud800" <= character <= "\udfff" for character in text)
    return "invalid_unicode" if has_half_a_pair else None


def _text(value: object) -> str | None:
    """A JSON value as the text of a column; null for null.

    A number that is an integer is the text of that integer, however it is written: 12345.0 and
    1.2345e4 are 12345, as in a Parquet file.
    """
    if isinstance(value, _Number):
        return whole_text(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return _json(value)


def _json(value: object, depth: int = 1) -> str:
    if depth > _DEEPEST:
        raise _TooDeepError
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, _Pairs):
        inner = ",".join(f"{_json(key)}:{_json(item, depth + 1)}" for key, item in value)
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{','.join(_json(item, depth + 1) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)
