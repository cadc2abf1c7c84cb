"""Numbers and days as text.

A figure is shown short, with its unit for large numbers. Its exact value is in the page as well.
"""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext

from include.site.report.metrics import DIGITS, Change, Number

UNKNOWN = "–"
LONGEST = 1_000_000
"""From this value on a number is shortened with a unit."""
UNITS = ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"))
THOUSAND = (Decimal(1000), "K")
PLACES = {"count": 0, "average": 1, "ratio": 2, "money": 2, "unit_money": 4}


def shown(number: Number | None, form: str) -> str:
    """A figure as text; the dash stands for an unknown one."""
    if number is None:
        return UNKNOWN
    exact = _decimal(number)
    if form == "rate":
        return f"{_fixed(exact * 100, 1 if abs(exact) >= Decimal('0.01') or not exact else 2)}%"
    if abs(exact) >= LONGEST:
        return short(number)
    places = PLACES[form]
    if form in {"money", "average"} and abs(exact) >= 10_000:
        places = 0
    if form == "unit_money" and abs(exact) >= 100:
        places = 2
    return _fixed(exact, places)


def named(text: str) -> str:
    """A name that can be seen; games and ledgers can send blanks."""
    return text if text.strip() else "(blank)"


def percent(rate: Number) -> str:
    """A rate without decimals, for cells that have no room."""
    return f"{_fixed(_decimal(rate) * 100, 0)}%"


def short(number: Number) -> str:
    """A number with at most four digits and a unit, as axes need it."""
    exact = _decimal(number)
    for size, unit in (*UNITS, THOUSAND):
        if abs(exact) >= size * Decimal("0.9995"):
            scaled = exact / size
            places = 2 if abs(scaled) < 10 else 1 if abs(scaled) < 1000 else 0
            text = _fixed(scaled, places)
            return (text.rstrip("0").rstrip(".") if "." in text else text) + unit
    text = f"{exact.normalize():,f}"
    return text.replace("-", "−")


def axis(number: float, form: str) -> str:
    """The label of a tick."""
    return f"{short(_decimal(number * 100))}%" if form == "rate" else short(number)


def exact(number: Number | None) -> str:
    """The whole value as a number that programs can read; empty if it is unknown."""
    if number is None:
        return ""
    return f"{number:f}" if isinstance(number, Decimal) else repr(number)


def full(number: Number | None, form: str) -> str:
    """All digits of a value with separators, for charts' tooltips."""
    if number is None:
        return UNKNOWN
    value = _decimal(number)
    if form == "rate":
        return f"{_fixed(value * 100, 2)}%"
    if isinstance(number, float):
        return _fixed(value, 2)
    return f"{value:,f}".replace("-", "−")


def changed(change: Change) -> str:
    """A change with its sign: percent of the previous figure, or percentage points."""
    unit = " pp" if change.is_difference else "%"
    amount = Decimal(repr(change.amount)) * 100
    if abs(amount) >= LONGEST:
        return ("+" if amount > 0 else "−") + short(abs(amount)) + unit
    text = _fixed(amount, 1 if abs(amount) < 1000 else 0)
    if text == "0.0":
        return f"±0{unit}"
    return f"{'+' if amount > 0 else ''}{text}{unit}"


def day(value: date) -> str:
    """A day without its year."""
    return f"{value.day} {MONTHS[value.month - 1]}"


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""The names do not depend on the locale of the machine."""


def days(first: date, last: date) -> str:
    """A range of days with the year of its end."""
    if first == last:
        return f"{day(last)} {last.year}"
    if first.year != last.year:
        return f"{day(first)} {first.year} – {day(last)} {last.year}"
    return f"{short_days(first, last)} {last.year}"


def short_days(first: date, last: date) -> str:
    """A range of days without years."""
    if first == last:
        return day(last)
    return f"{first.day if first.month == last.month else day(first)} – {day(last)}"


def _fixed(value: Decimal, places: int) -> str:
    """Rounded half away from zero, with separators and a true minus sign."""
    with localcontext(prec=DIGITS):
        # The addition turns a negative zero into zero.
        rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) + 0
    return f"{rounded:,f}".replace("-", "−")


def _decimal(number: Number) -> Decimal:
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
