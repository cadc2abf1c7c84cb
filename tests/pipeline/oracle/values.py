"""The smallest readings: text, JSON, days and exact money."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import NoReturn

EXACT = Context(prec=100, rounding=ROUND_HALF_UP)
"""Wide enough that no product or sum of the lake's amounts is ever rounded on the way."""

_LENIENT = Context(prec=100, traps=[])
"""Reads a number with an absurd exponent as infinity instead of failing."""

LAST_SECOND = 253402300799
"""The last second of the year 9999."""

_EPOCH = date(1970, 1, 1).toordinal()
_EIGHT = Decimal("0.00000001")
_FOUR = Decimal("0.0001")
_TOO_LARGE = Decimal(10) ** 10
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_AMBIGUOUS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_GROUPED = {
    ",": re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*|(?<=,[0-9]{3},[0-9]{3}))"),
    ".": re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]*|(?<=\.[0-9]{3}\.[0-9]{3}))"),
    " ": re.compile(r"[+-]?[0-9]{1,3}( [0-9]{3})+([.,][0-9]*)?"),
}
_CURRENCIES = {"YEN": "JPY", "RMB": "CNY"}


def text(value: object) -> str | None:
    """Any value of a file as text: numbers plainly, booleans and objects as JSON writes them."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | list | dict):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def known(value: object) -> str | None:
    """The text of a value without spaces at its end; None if there is nothing but blanks in it."""
    found = text(value)
    return found.rstrip(" ") if found is not None and found.strip(" ") else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def json_object(document: str | None) -> Mapping[str, object]:
    """The object in a JSON text, with its numbers as the text they were written in.

    A JSON string is parsed once more; what is no object after that is an empty one.
    """
    value: object = document
    for _ in range(2):
        if isinstance(value, str):
            try:
                value = json.loads(
                    value, parse_int=str, parse_float=str, parse_constant=_no_constant
                )
            except (ValueError, RecursionError):
                return {}
    return value if isinstance(value, dict) else {}


def number(value: str | None) -> Decimal | None:
    """The number that a text is, with a decimal point; None if it is none."""
    if value is None or not _NUMBER.fullmatch(value.strip(" ")):
        return None
    return _LENIENT.create_decimal(value.strip(" "))


def amount(value: str | None) -> Decimal | None:
    """A number as decimal(18,8); None if the text is no number or reaches 10^10."""
    found = number(value)
    if found is None or found.copy_abs() >= _TOO_LARGE:
        return None
    found = found.quantize(_EIGHT, context=EXACT)
    return found if found.copy_abs() < _TOO_LARGE else None


def given(value: object) -> str | None:
    """The text of a cell of the ledger or of costs; None for what programs write for a null."""
    found = (text(value) or "").strip(" ")
    return None if found.lower() in {"", "\\n", "null", "none", "nan"} else found


def is_ambiguous(value: str | None) -> bool:
    """Whether the comma of an amount may be a decimal sign or may separate the thousands."""
    return value is not None and _AMBIGUOUS.fullmatch(value.strip(" ")) is not None


def comma_amount(value: str | None) -> Decimal | None:
    """Like `amount`, with a decimal comma or point and with separators of thousands."""
    if value is None or is_ambiguous(value):
        return None
    value = value.strip(" ")
    for separator, grouped in _GROUPED.items():
        if grouped.fullmatch(value):
            value = value.replace(separator, "")
    return amount(value.replace(",", "."))


def money(value: Decimal) -> Decimal:
    """Four decimals, half away from zero."""
    return value.quantize(_FOUR, context=EXACT)


def quotient(numerator: Decimal, denominator: Decimal) -> Decimal:
    """A quotient with eight decimals, half away from zero."""
    return EXACT.divide(numerator, denominator).quantize(_EIGHT, context=EXACT)


def ratio(numerator: Decimal | int | None, denominator: Decimal | int | None) -> float | None:
    """A published rate; None over zero, and where a part is unknown."""
    if numerator is None or not denominator:
        return None
    return float(numerator) / float(denominator)


def money_per(total: Decimal, heads: int) -> Decimal | None:
    """Money by head with four decimals, half away from zero; None over zero."""
    return money(EXACT.divide(total, heads)) if heads else None


def currency(value: object, default: str | None) -> str | None:
    """An ISO code from what a source calls a currency."""
    name = known(value)
    if name is None:
        return default
    code = name.strip(" ").upper()
    return _CURRENCIES.get(code, code)


def utc_day(seconds: int) -> date | None:
    """The UTC day of an epoch second; None for what names no day."""
    if not 0 < seconds <= LAST_SECOND:
        return None
    return date.fromordinal(_EPOCH + seconds // 86400)


def utc_time(seconds: int) -> datetime:
    """The UTC time of an epoch second, without a zone, as a warehouse's timestamp comes."""
    return datetime.fromtimestamp(seconds, tz=UTC).replace(tzinfo=None)


def iso_day(value: object) -> date | None:
    """The day in a date, a timestamp or an ISO text."""
    try:
        return date.fromisoformat((text(value) or "").strip(" ")[:10])
    except ValueError:
        return None
