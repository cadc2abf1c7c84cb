"""A comparison of tables that overlooks a difference would make every test that uses it pass."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from tests.support.compare import difference

DAY = date(2026, 9, 1)


def test_every_difference_is_a_line() -> None:
    actual = [{"id": 1, "day": DAY, "n": 3}, {"id": 2, "day": DAY, "n": 3}]
    expected = [{"id": 2, "day": DAY, "n": 4}, {"id": 3, "day": DAY, "n": 3}]
    assert difference(actual, expected, ["id", "day"]) == [
        "differs: id=2, day=2026-09-01: n is 3, expected 4",
        "missing: id=3, day=2026-09-01",
        "surplus: id=1, day=2026-09-01",
    ]
    assert difference(reversed(actual), actual, ["id"]) == []
    twice, once = [{"id": None}, {"id": None}], [{"id": None}]
    assert difference(twice, once, ["id"]) == ["repeated in actual: id=None"]
    assert difference(once, twice, ["id"]) == ["repeated in expected: id=None"]
    assert difference([{"id": 1}], [{"id": 1, "more": None}], ["id"]) == [
        "differs: id=1: there is no column more"
    ]


@pytest.mark.parametrize(
    ("actual", "expected", "is_equal"),
    [
        (Decimal("1.0000"), Decimal(1), True),
        (1, Decimal(1), True),
        (0.5, Decimal("0.5"), False),
        (Decimal("1.0001"), Decimal(1), False),
        (Decimal("0.3333"), 1 / 3, True),
        (100.009, 100.0, True),
        (100.02, 100.0, False),
        (float("nan"), 1.0, False),
        (None, 0.0, False),
        (0, None, False),
        (True, 1, False),
        (1, True, False),
        ("1", 1, False),
        (datetime(2026, 9, 1), DAY, False),  # noqa: DTZ001 - a warehouse's timestamp has no zone
    ],
)
def test_values_are_equal_in_type_and_value(
    actual: object, expected: object, is_equal: bool
) -> None:
    """Only an expected float may differ, by the tolerance."""
    lines = difference([{"id": 1, "v": actual}], [{"id": 1, "v": expected}], ["id"], 0.01)
    assert (lines == []) is is_equal
