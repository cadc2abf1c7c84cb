"""The macro `ratio` on DuckDB: null, zero and the sign of zero."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("duckdb", reason="runs in the dbt environment")

import duckdb
from jinja2 import Environment

from include.settings import ROOT

MACRO = ROOT / "dbt" / "macros" / "sql" / "ratio.sql"


def ratio(numerator: str, denominator: str) -> float | None:
    """The value of the macro on DuckDB."""
    template = Environment(autoescape=False).from_string(MACRO.read_text())  # noqa: S701 - SQL
    sql = template.module.ratio(numerator, denominator)  # type: ignore[attr-defined]
    ((value,),) = duckdb.sql(f"select {sql} * 2").fetchall()
    return None if value is None else float(value)


def test_a_ratio_is_one_value_in_a_longer_expression() -> None:
    assert ratio("3", "4") == 1.5


@pytest.mark.parametrize(("numerator", "denominator"), [("1", "0"), ("null", "1"), ("1", "null")])
def test_a_ratio_without_a_denominator_or_a_numerator_is_null(
    numerator: str, denominator: str
) -> None:
    assert ratio(numerator, denominator) is None


@pytest.mark.parametrize("denominator", ["5", "-5"])
def test_a_ratio_of_zero_is_never_minus_zero(denominator: str) -> None:
    value = ratio("0", denominator)
    assert value is not None
    assert math.copysign(1, value) == 1
