"""Lists the differences between two tables, one readable line each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

Row = Mapping[str, object]


def _named(key: Sequence[str], values: tuple[object, ...]) -> str:
    """The key of a row as text."""
    return ", ".join(f"{name}={value}" for name, value in zip(key, values, strict=True))


def _by_key(
    side: str, rows: Iterable[Row], key: Sequence[str]
) -> tuple[dict[tuple[object, ...], Row], list[str]]:
    """The rows by their key, and a line for each row that repeats a key."""
    found: dict[tuple[object, ...], Row] = {}
    repeated = []
    for row in rows:
        values = tuple(row[name] for name in key)
        if values in found:
            repeated.append(f"repeated in {side}: {_named(key, values)}")
        found[values] = row
    return found, repeated


def _same(actual: object, expected: object, tolerance: float, relative: float) -> bool:
    """Whether two values are equal. A float is never equal to money, nor a number to a boolean."""
    if isinstance(actual, bool) != isinstance(expected, bool):
        return False
    if isinstance(expected, Decimal) and isinstance(actual, float):
        return False
    if isinstance(expected, float) and isinstance(actual, float | int | Decimal) and tolerance:
        return math.isclose(actual, expected, rel_tol=relative, abs_tol=tolerance)
    return actual == expected


def difference(
    actual: Iterable[Row],
    expected: Iterable[Row],
    key: Sequence[str],
    tolerance: float = 0.0,
    relative: float = 0.0,
) -> list[str]:
    """One line per missing, surplus or repeated row and per differing column; empty if equal.

    Rows are matched by `key`, in any order. Only the columns of the expected row are compared; the
    actual row may have more. Values must be equal, but an expected float may differ by the absolute
    `tolerance`, and by `relative` times its size. Raises KeyError for a row without one of the key
    columns.
    """
    actual_rows, lines = _by_key("actual", actual, key)
    expected_rows, repeated = _by_key("expected", expected, key)
    lines += repeated
    for values, wanted in expected_rows.items():
        found = actual_rows.get(values)
        if found is None:
            lines.append(f"missing: {_named(key, values)}")
            continue
        for column, value in wanted.items():
            if column not in found:
                lines.append(f"differs: {_named(key, values)}: there is no column {column}")
            elif not _same(found[column], value, tolerance, relative):
                lines.append(
                    f"differs: {_named(key, values)}: "
                    f"{column} is {found[column]!r}, expected {value!r}"
                )
    lines += [
        f"surplus: {_named(key, values)}" for values in actual_rows if values not in expected_rows
    ]
    return lines
