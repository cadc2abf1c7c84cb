"""The comparison of two tables finds every difference, and names it in a readable line."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from tests.pipeline.compare import difference

DAY = date(2026, 9, 1)


def test_equal_tables_in_any_order_have_no_difference() -> None:
    rows = [{"id": 1, "day": DAY, "money": Decimal("1.50")}, {"id": 2, "day": DAY, "money": None}]
    assert difference(reversed(rows), rows, ["id"]) == []


def test_missing_surplus_and_differing_rows_are_named() -> None:
    actual = [{"id": 1, "day": DAY, "n": 3}, {"id": 2, "day": DAY, "n": 3}]
    expected = [{"id": 2, "day": DAY, "n": 4}, {"id": 3, "day": DAY, "n": 3}]
    assert difference(actual, expected, ["id", "day"]) == [
        "differs: id=2, day=2026-09-01: n is 3, expected 4",
        "missing: id=3, day=2026-09-01",
        "surplus: id=1, day=2026-09-01",
    ]


def test_repeated_rows_are_differences_on_either_side() -> None:
    twice, once = [{"id": 1}, {"id": 1}], [{"id": 1}]
    assert difference(twice, once, ["id"]) == ["repeated in actual: id=1"]
    assert difference(once, twice, ["id"]) == ["repeated in expected: id=1"]


def test_only_the_expected_columns_are_compared_and_all_of_them() -> None:
    assert difference([{"id": 1, "more": 2}], [{"id": 1}], ["id"]) == []
    assert difference([{"id": 1}], [{"id": 1, "more": None}], ["id"]) == [
        "differs: id=1: there is no column more"
    ]


def test_null_in_a_key_is_a_key() -> None:
    assert difference([{"id": None, "n": 1}], [{"id": None, "n": 1}], ["id"]) == []


def test_a_row_without_a_key_column_is_an_error() -> None:
    with pytest.raises(KeyError):
        difference([{"n": 1}], [{"id": 1}], ["id"])


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (Decimal("1.0000"), Decimal(1)),
        (1, Decimal(1)),
        (Decimal(3), 3),
        (0.5, 0.5),
        (Decimal("0.5"), 0.5),
        (None, None),
    ],
)
def test_same(actual: object, expected: object) -> None:
    assert difference([{"id": 1, "v": actual}], [{"id": 1, "v": expected}], ["id"]) == []


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (Decimal("1.0001"), Decimal(1)),
        (1.0, Decimal(1)),
        (True, 1),
        (1, True),
        (None, 0),
        (0, None),
        ("1", 1),
        (datetime(2026, 9, 1), DAY),  # noqa: DTZ001 - a warehouse's timestamp has no zone
        (0.1 + 0.2, 0.3),
        (float("nan"), 1.0),
    ],
)
@pytest.mark.parametrize("tolerance", [0.0, 1e-20])
def test_different(actual: object, expected: object, tolerance: float) -> None:
    rows = [{"id": 1, "v": actual}], [{"id": 1, "v": expected}]
    assert len(difference(*rows, ["id"], tolerance)) == 1


def test_tolerance_is_absolute_and_for_floats_only() -> None:
    def lines(actual: object, expected: object) -> list[str]:
        rows = [{"id": 1, "v": actual}], [{"id": 1, "v": expected}]
        return difference(*rows, ["id"], tolerance=0.01)

    assert lines(100.009, 100.0) == []
    assert lines(Decimal("0.3333"), 1 / 3) == []
    assert lines(100.02, 100.0)
    assert lines(Decimal("1.001"), Decimal(1))
    assert lines(None, 0.0)
