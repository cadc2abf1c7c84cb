"""Axes: round ticks that enclose the values."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import itertools

from hypothesis import given
from hypothesis import strategies as st

from include.site.report.scales import BEYOND, Scale, day_ticks, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 98, [0, 25, 50, 75, 100]),
        (0, 0.31, [0, 0.1, 0.2, 0.3, 0.4]),
        (-30, 60, [-50, -25, 0, 25, 50, 75]),
        (5, 5, [0, 2, 4, 6]),
        (0, 0, [0, 0.25, 0.5, 0.75, 1]),
        (-4, -1, [-4, -3, -2, -1, 0]),
        (0, 1.2e15, [0, 5e14, 1e15, 1.5e15]),
        (-60, 3e11, [0, 1e11, 2e11, 3e11]),
    ],
)
def test_ticks_are_round_and_include_zero(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_ticks_of_counts_are_whole() -> None:
    assert ticks(0, 1, whole=True) == [0, 1]
    assert ticks(0, 3, whole=True) == [0, 1, 2, 3]
    assert ticks(0, 10, whole=True) == [0, 5, 10]
    assert ticks(0, 30_000, whole=True) == [0, 10_000, 20_000, 30_000]


@given(
    st.floats(-1e18, 1e18, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-6),
    st.floats(-1e18, 1e18, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-6),
)
def test_ticks_enclose_all_values_in_few_equal_steps(one: float, other: float) -> None:
    low, high = sorted((one, other))
    found = ticks(low, high)
    step = found[1] - found[0]
    assert 2 <= len(found) <= 8
    assert 0 in found
    assert found[0] <= low + step * BEYOND * 1.01
    assert found[-1] >= high - step * BEYOND * 1.01
    assert all(math.isclose(b - a, step, rel_tol=1e-6) for a, b in itertools.pairwise(found))


def test_a_scale_puts_the_ends_of_the_axis_at_its_ends() -> None:
    scale = Scale([-50, 0, 50, 100], 200, 50)
    assert (scale(-50), scale(0), scale(100)) == (200, 150, 50)


@pytest.mark.parametrize(
    ("days", "expected"),
    [(1, [0]), (7, [0, 2, 4, 6]), (28, [6, 13, 20, 27]), (3, [0, 1, 2])],
)
def test_the_last_day_has_a_label_and_the_distances_are_equal(
    days: int, expected: list[int]
) -> None:
    assert day_ticks(days) == expected
