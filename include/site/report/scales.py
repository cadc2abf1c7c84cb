"""Axes with round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
"""The round steps of an axis, times a power of ten."""
BEYOND = 0.02
"""The part of a step by which a value may lie beyond the last tick: about a pixel."""
DAY_STEPS = (1, 2, 7, 14, 28, 56)
"""The distances of the labels of days."""


@dataclass(frozen=True)
class Scale:
    """A linear axis from the lowest to the highest tick, drawn from `start` to `end`."""

    ticks: Sequence[float]
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The position of a value."""
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def ticks(low: float, high: float, count: int = 4, *, whole: bool = False) -> list[float]:
    """Round values that enclose 0, `low` and `high`, in about `count` equal steps.

    `low` and `high` may lie beyond the outer ticks by the part `BEYOND` of a step. With `whole` the
    steps are whole numbers.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        high = 1.0
    rough = (high - low) / count
    power = math.floor(math.log10(rough))
    steps = [factor * 10.0**place for place in (power, power + 1) for factor in STEPS]
    if whole:
        steps = [1.0, *(step for step in steps if step >= 1 and step.is_integer())]
    step = next(step for step in steps if step >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + BEYOND), math.ceil(high / step - BEYOND)
    # Multiples of the step and not repeated sums, which would add up rounding errors.
    return [_clean(number * step) for number in range(min(first, 0), max(last, 0) + 1)]


def _clean(value: float) -> float:
    """Without the rounding error of a product such as 3 * 0.1, which is 0.30000000000000004."""
    return float(f"{value:.12g}")


def day_ticks(days: int, count: int = 5) -> list[int]:
    """The places of about `count` of the days with equal distances, the last day included."""
    step = next((step for step in DAY_STEPS if days / step <= count), DAY_STEPS[-1])
    return list(range(days - 1, -1, -step))[::-1]
