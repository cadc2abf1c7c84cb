"""Parses files with one JSON object per line.

Keys match the declared columns in any letter case. A line that is not an object is one bad row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from include.lake.ledger_rows.rows import BadRow, FileFaultError, FileRows, GoodRow, bad_row


class _Text(str):
    """A JSON number as it is written in the file, so that no digit is lost."""

    __slots__ = ()


def parse_json_lines(name: str, text: str, columns: Mapping[str, bool]) -> FileRows:
    """Parse the text of a file of JSON lines.

    `columns` maps each declared column, in lower case, to whether a file must have it. Objects and
    arrays become JSON text, numbers keep their digits, `true` and `false` become text, and a key
    that a row does not have is null. Raises FileFaultError if a column that a file must have occurs
    in no row, because then its name is probably another.
    """
    good: list[GoodRow] = []
    bad: list[BadRow] = []
    found: set[str] = set()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = _row(line)
        if isinstance(row, str):
            bad.append(bad_row(number, row, line))
            continue
        found.update(row)
        good.append(GoodRow(number, tuple(map(row.get, columns))))
    missing = [column for column, must in columns.items() if must and column not in found]
    if good and missing:
        others = ", ".join(sorted(found - set(columns))) or "none"
        raise FileFaultError(
            f"{name}: no row has the key {missing[0]}; keys that are not declared: {others}. "
            "Rename the key in the file, or add it."
        )
    return FileRows(good, bad)


def _row(line: str) -> dict[str, str | None] | str:
    """The values of a line by key in lower case, or the reason why the line is bad."""
    try:
        pairs = _DECODER.decode(line.strip())
    except (ValueError, RecursionError):
        return "not_json"
    if not isinstance(pairs, _Pairs):
        return "not_an_object"
    row: dict[str, str | None] = {}
    for key, value in pairs.items:
        if key.lower() in row:
            return "key_occurs_twice"
        row[key.lower()] = _text(value)
    if any("\x00" in value for value in row.values() if value):
        return "nul_character"
    return row


class _Pairs:
    """The key-value pairs of an object, repeated keys included."""

    __slots__ = ("items",)

    def __init__(self, items: list[tuple[str, object]]) -> None:
        self.items = items


def _text(value: object) -> str | None:
    """A JSON value as the text of a column; null for null and for an empty text."""
    if value is None or isinstance(value, str):
        return str(value) if value else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return _json(value)


def _json(value: object) -> str:
    if isinstance(value, _Text):
        return str(value)
    if isinstance(value, _Pairs):
        inner = ",".join(f"{json.dumps(key)}:{_json(item)}" for key, item in value.items)
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _refuse(constant: str) -> object:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_float=_Text, parse_int=_Text, parse_constant=_refuse
)
