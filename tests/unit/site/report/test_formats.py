"""Numbers and days as text."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.site.report import formats
from include.site.report.metrics import Change


@pytest.mark.parametrize(
    ("number", "form", "text"),
    [
        (None, "count", "–"),
        (0, "count", "0"),
        (1234, "count", "1,234"),
        (12_345_678, "count", "12.3M"),
        (18.55, "average", "18.6"),
        (Decimal("-0.004"), "money", "0.00"),
        (Decimal("-1234.565"), "money", "−1,234.57"),
        (Decimal("98765.4321"), "money", "98,765"),
        (Decimal("99999999999999.9999"), "money", "100T"),
        (Decimal("0.0312"), "unit_money", "0.0312"),
        (Decimal("123.4567"), "unit_money", "123.46"),
        (0.123456, "rate", "12.3%"),
        (0.00456, "rate", "0.46%"),
        (0.0, "rate", "0.0%"),
        (1.0625, "rate", "106.3%"),
        (1.937, "ratio", "1.94"),
    ],
)
def test_a_figure_is_short(number: Any, form: str, text: str) -> None:
    assert formats.shown(number, form) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.25, "0.25"), (250, "250"), (1000, "1K"), (2500, "2.5K"), (-1_500_000, "−1.5M")],
)
def test_an_axis_has_few_digits(number: float, text: str) -> None:
    assert formats.axis(number, "money") == text


def test_an_axis_of_a_rate_has_percent() -> None:
    assert formats.axis(0.075, "rate") == "7.5%"


def test_the_exact_value_keeps_all_digits() -> None:
    assert formats.exact(Decimal("99999999999999.9990")) == "99999999999999.9990"
    assert formats.exact(Decimal("0E+4")) == "0"
    assert formats.exact(None) == ""
    assert float(formats.exact(1 / 3)) == 1 / 3
    assert formats.full(Decimal("-1234.5600"), "money") == "−1,234.5600"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Change(0.1234, False, ""), "+12.3%"),
        (Change(-0.5, False, ""), "−50.0%"),
        (Change(0.05, True, ""), "+5.0 pp"),
        (Change(-0.0001, False, ""), "±0%"),
        (Change(-0.0001, True, ""), "±0 pp"),
        (Change(25.517, False, ""), "+2,552%"),
        (Change(-1234567.0, False, ""), "−123.5M%"),
    ],
)
def test_a_change_has_its_sign(change: Change, text: str) -> None:
    assert formats.changed(change) == text


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (date(2026, 11, 2), date(2026, 11, 29), "2 – 29 Nov 2026"),
        (date(2026, 10, 5), date(2026, 11, 1), "5 Oct – 1 Nov 2026"),
        (date(2025, 12, 29), date(2026, 1, 4), "29 Dec 2025 – 4 Jan 2026"),
        (date(2026, 11, 2), date(2026, 11, 2), "2 Nov 2026"),
    ],
)
def test_a_range_of_days_names_each_part_once(first: date, last: date, text: str) -> None:
    assert formats.days(first, last) == text
