"""The statistics of the experiments have SciPy's values on DuckDB."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("dbt.adapters.duckdb", reason="runs in the dbt environment")
pytest.importorskip("scipy", reason="SciPy is not installed")

import duckdb
from scipy import special, stats

from tests.support.statistics_sql import Case, all_cases, faults, queries


def value(macro: str, *arguments: float) -> float:
    """The value of a macro on DuckDB."""
    ((_, sql),) = queries([Case(macro, arguments, None)])
    ((_, found),) = duckdb.sql(sql).fetchall()
    return float(found)


def p_of_t(t: float, df: float) -> float:
    """The two-sided p value of Student's t, as the report computes it."""
    return value("two_sided_p", value("normal_deviate", t, df))


def test_every_macro_has_scipys_values_on_duckdb() -> None:
    cases = all_cases()
    assert len(cases) > 300
    assert [
        fault for own, sql in queries(cases) for fault in faults(own, duckdb.sql(sql).fetchall())
    ] == []


def test_a_null_gives_null() -> None:
    for own, sql in queries(all_cases()):
        rows = duckdb.sql(sql.replace("cast(", "nullif(1, 1) + cast(")).fetchall()
        assert {value for _, value in rows} == {None}, own[0].macro


@pytest.mark.parametrize("df", [29.0, 33.3, 60.0, 1e4, 2e7])
def test_p_values_of_t_down_to_1e_9(df: float) -> None:
    for p in (1.0, 0.9, 0.3, 0.05, 1e-3, 1e-6, 1e-9):
        t = float(stats.t.isf(p / 2, df))
        assert p_of_t(t, df) == pytest.approx(p, rel=1e-6)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0.41, 3.9, 3407), (0.70, 6.2, 3461)),
        ((-3.0, 20.0, 30), (1.0, 5.0, 10_000_000)),
        ((5.0, 1.0, 30), (5.0, 2.0, 31)),
        ((-1e6, 1e3, 45), (-1e6 + 300, 1e-3, 52)),
    ],
)
def test_welchs_test_has_scipys_p_value(
    one: tuple[float, float, int], other: tuple[float, float, int]
) -> None:
    error, other_error = one[1] ** 2 / one[2], other[1] ** 2 / other[2]
    df = value("welch_df", error, one[2], other_error, other[2])
    expected = stats.ttest_ind_from_stats(*one, *other, equal_var=False)
    p = p_of_t((one[0] - other[0]) / math.sqrt(error + other_error), df)
    assert p == pytest.approx(float(expected.pvalue), rel=1e-6)


def test_the_reference_values_of_a_difference_and_of_a_lift() -> None:
    mean, deviation, count = 0.70, 6.2, 3461
    control, control_deviation, control_count = 0.41, 3.9, 3407
    error, control_error = deviation**2 / count, control_deviation**2 / control_count
    df = value("welch_df", error, count, control_error, control_count)
    quantile = value("t_quantile", df)
    difference = mean - control
    half = quantile * math.sqrt(error + control_error)
    assert p_of_t(difference / math.sqrt(error + control_error), df) == pytest.approx(
        0.02016, abs=5e-6
    )
    assert (difference - half, difference + half) == pytest.approx((0.04538, 0.53462), abs=5e-6)
    lift = difference / control
    lift_error = math.sqrt(value("lift_variance", mean, error, control, control_error))
    half = quantile * lift_error
    assert p_of_t(lift / lift_error, df) == pytest.approx(0.06191, abs=5e-6)
    assert (lift - half, lift + half) == pytest.approx((-0.03526, 1.44989), abs=5e-6)


def test_the_sequential_p_value_is_five_percent_at_the_end_of_the_interval() -> None:
    for error, players in ((0.01, 500.0), (4.0, 60.0), (1e-6, 1e7)):
        half = value("sequential_half_width", error, players)
        assert value("sequential_p", half, error, players) == pytest.approx(0.05, rel=1e-9)


def test_the_normal_quantile() -> None:
    assert value("normal_quantile") == pytest.approx(float(special.ndtri(0.975)), rel=1e-15)
