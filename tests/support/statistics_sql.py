"""The statistics of the experiments: the SQL of dbt's macros, and SciPy's value of each case.

A case is a macro, its arguments as SQL, and the value. The same cases run on both engines.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment
from scipy import special, stats

from include.settings import ROOT

MACROS = ROOT / "dbt" / "macros" / "statistics"
LEVEL = 0.05
TUNING = 5_000
LARGEST_ERROR = 1e-6
"""How far a value may be from SciPy's, relative to its size."""


@dataclass(frozen=True)
class Case:
    """A macro with arguments, and the value that SciPy gives."""

    macro: str
    arguments: tuple[float, ...]
    expected: float | None

    @property
    def name(self) -> str:
        """The case as text."""
        return f"{self.macro}({', '.join(map(str, self.arguments))})"


def queries(cases: list[Case]) -> Iterator[tuple[list[Case], str]]:
    """The cases of each macro, and a query with a row per case: its number and its value.

    The arguments are columns, as in the models.
    """
    by_macro: dict[str, list[Case]] = {}
    for case in cases:
        by_macro.setdefault(case.macro, []).append(case)
    for macro, own in by_macro.items():
        names = [f"v{place}" for place in range(len(own[0].arguments))]
        given = " union all ".join(
            ", ".join(
                [
                    f"select {number} as n",
                    *(
                        f"cast({_literal(value)} as {_type(value)}) as {name}"
                        for name, value in zip(names, case.arguments, strict=True)
                    ),
                ]
            )
            for number, case in enumerate(own)
        )
        yield (
            own,
            f"select n, {getattr(_macros(), macro)(*names)} as value "
            f"from ({given}) as given order by n",
        )


def faults(cases: list[Case], rows: Iterable[Sequence[Any]]) -> list[str]:
    """A line for each value that differs from SciPy's."""
    lines = []
    for case, (_, value) in zip(cases, rows, strict=True):
        if case.expected is None or value is None:
            is_right = value is case.expected
        else:
            # Below 1e-290 SciPy's own tails run out of digits, and the macros give 0.
            is_right = math.isclose(
                float(value), case.expected, rel_tol=LARGEST_ERROR, abs_tol=1e-290
            )
        if not is_right:
            lines.append(f"{case.name} is {value!r}, SciPy has {case.expected!r}")
    return lines


def all_cases() -> list[Case]:
    """At least twenty cases of each distribution, with its extremes, and those of each formula."""
    return [*_distributions(), *_welch_tests(), *_rates(), *_ratios(), *_sequences(), *_splits()]


@cache
def _macros() -> Any:
    text = "\n".join(path.read_text() for path in sorted(MACROS.glob("*.sql")))
    # The templates make SQL, in which nothing needs to be escaped for HTML.
    return Environment(autoescape=False).from_string(text).module  # noqa: S701


def _literal(value: float) -> str:
    return repr(value) if isinstance(value, int) else f"{value:.17e}"


def _type(value: float) -> str:
    return "bigint" if isinstance(value, int) else "double precision"


def _distributions() -> Iterator[Case]:
    for z in (0.0, 1e-12, 1e-5, 0.3, 0.6629, 0.67, 1.0, 1.959963984540054, 2.5, 3.3, 4.2, 5.6569):
        for sign in (1, -1):
            yield Case("two_sided_p", (sign * z,), float(special.erfc(z / math.sqrt(2))))
    for z in (5.66, 7.0, 10.0, 20.0, 36.0, 37.5, 1e3, 1e15):
        yield Case("two_sided_p", (z,), float(special.erfc(z / math.sqrt(2))))
    for df in (29.0, 30.5, 58.0, 100.0, 999.9, 5841.8, 1e5, 2e7, 1e12):
        yield Case("t_quantile", (df,), float(stats.t.ppf(0.975, df)))
        for t in (0.0, 1e-9, 1e-3, 0.5, 1.5, 1.96, 2.7, 3.5, 5.0, 6.5):
            p = float(2 * stats.t.sf(t, df))
            yield Case("normal_deviate", (-t, df), float(math.sqrt(2) * special.erfcinv(p)))
    for df in range(1, 31):
        for x in (0.0, 1e-6, 0.5, 3.84, float(df), 40.0, 300.0, 1300.0):
            yield Case("chi_square_p", (x, df), float(stats.chi2.sf(x, df)))
    yield Case("chi_square_p", (1.0, 0), None)
    yield Case("chi_square_p", (1.0, 31), None)


def _welch_tests() -> Iterator[Case]:
    for one, other in (
        ((0.41, 3.9, 3407), (0.70, 6.2, 3461)),
        ((5.0, 1.0, 30), (5.0, 1.0, 30)),
        ((-3.0, 2.0, 30), (1.0, 50.0, 10_000_000)),
        ((1e6, 1e3, 45), (1e6 + 1, 1e-3, 52)),
    ):
        (mean, deviation, count), (mean_2, deviation_2, count_2) = one, other
        error, error_2 = deviation**2 / count, deviation_2**2 / count_2
        squares = error**2 / (count - 1) + error_2**2 / (count_2 - 1)
        yield Case("welch_df", (error, count, error_2, count_2), (error + error_2) ** 2 / squares)
        yield Case(
            "lift_variance",
            (mean_2, error_2, mean, error),
            error_2 / mean**2 + error * mean_2**2 / mean**4,
        )


def _rates() -> Iterator[Case]:
    for slope, variance, covariate, covariance, count in (
        (0.5, 4.0, 2.0, 1.0, 100),
        (-2.0, 9.0, 1.0, -2.0, 30),
        (1.0, 1.0, 1.0, 1.0, 50),
    ):
        adjusted = variance - 2 * slope * covariance + slope**2 * covariate
        yield Case(
            "adjusted_error", (slope, variance, covariate, covariance, count), adjusted / count
        )


def _ratios() -> Iterator[Case]:
    for ratio, mean, variance, of_denominator, covariance in (
        (2.0, 3.0, 8.0, 1.5, 2.5),
        (0.0, 1.0, 8.0, 1.0, -1.0),
        (-4.0, 0.5, 100.0, 2.0, -3.0),
        (2.0, 3.0, 4.0, 1.0, 2.0),
    ):
        expected = (variance - 2 * ratio * covariance + ratio**2 * of_denominator) / mean**2
        yield Case("ratio_variance", (ratio, mean, variance, of_denominator, covariance), expected)


def _sequences() -> Iterator[Case]:
    log = -2 * math.log(LEVEL)
    rho = (log + math.log(log + 1)) / TUNING
    for difference, error, count in (
        (0.29, 0.0155, 6868.0),
        (0.0, 1.0, 60.0),
        (-5.0, 0.5, 2e7),
        (1.0, 1e-9, 5e3),
        (0.5, 0.01, 1e4),
        (1e-6, 4.0, 60.0),
    ):
        spread = count * rho + 1
        width = error * 2 * spread / (count * rho) * math.log(math.sqrt(spread) / LEVEL)
        yield Case("sequential_half_width", (error, count), math.sqrt(width))
        exponent = rho * difference**2 / error * count / (2 * spread)
        p = min(1.0, math.sqrt(spread) * math.exp(-exponent)) if exponent < 700 else 0.0
        yield Case("sequential_p", (difference, error, count), p)


def _splits() -> Iterator[Case]:
    for players in ([5000, 5000], [5200, 4800], [100, 1], [3, 3, 4], [10_000_000, 9_990_000]):
        test = stats.chisquare(players)
        yield Case("chi_square_p", (float(test.statistic), len(players) - 1), float(test.pvalue))
