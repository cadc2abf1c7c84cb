"""Tails of distributions by continued fractions and series, which the models do not use."""

from __future__ import annotations

import math


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by Lentz's continued fraction."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    log = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log + a * math.log(x) + b * math.log1p(-x)) / a if x else 0.0
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    total = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + term * d)
            c = 1 + term / c
            total *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * total


def t_p_value(t: float, df: float) -> float:
    """The two-sided p value of Student's t."""
    return _incomplete_beta(df / 2, 0.5, df / (df + t * t))


def t_quantile(df: float) -> float:
    """The 97.5 % quantile of Student's t, by bisection."""
    low, high = 0.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_p_value(middle, df) > 0.05 else (low, middle)
    return low


def chi_square_p_value(x: float, df: int) -> float:
    """The upper tail of the chi-square distribution, by the series of its lower tail."""
    a, half = df / 2, x / 2
    if half > 700:
        return 0.0
    if not half:
        return 1.0
    term = total = 1 / a
    for n in range(1, 10_000):
        term *= half / (a + n)
        total += term
    return 1 - total * math.exp(a * math.log(half) - half - math.lgamma(a))
