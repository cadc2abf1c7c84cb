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

_BLANKS = "\t\n\v\f\r \u00a0\u3000\u200b\ufeff"

_LENIENT = Context(prec=100, traps=[])
"""Reads a number with an absurd exponent as infinity instead of failing."""

LAST_SECOND = 253402300799
"""The last second of the year 9999."""

_EPOCH = date(1970, 1, 1).toordinal()
_EIGHT = Decimal("0.00000001")
_FOUR = Decimal("0.0001")
_TOO_LARGE = Decimal(10) ** 10
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
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


class JsonNumber(str):
    """A JSON number, as the text in which it was written."""

    __slots__ = ()


def _parsed_json(document: str) -> object:
    """The value of strict JSON; raises ValueError or RecursionError for anything else."""

    def last_wins(pairs: list[tuple[str, object]]) -> dict[str, object]:
        # Half of a surrogate pair is no character, also in a value that a later one replaces.
        json.dumps(pairs, ensure_ascii=False).encode()
        return dict(pairs)

    value: object = json.loads(
        document.replace("\\u0000", "\\ufffd"),
        object_pairs_hook=last_wins,
        parse_int=JsonNumber,
        parse_float=JsonNumber,
        parse_constant=_no_constant,
    )
    json.dumps(value, ensure_ascii=False).encode()
    return value


def json_object(document: str | None) -> Mapping[str, object]:
    """The object in a JSON text, with its numbers as the text they were written in.

    A JSON string is parsed once more; what is no object after that is an empty one.
    """
    value: object = document
    for _ in range(2):
        if isinstance(value, str):
            try:
                value = _parsed_json(value)
            except (ValueError, RecursionError):
                return {}
    return value if isinstance(value, dict) else {}


def _is_container(value: object) -> bool:
    """Whether a value is a JSON object or array, or the text of one."""
    if isinstance(value, str):
        try:
            value = _parsed_json(value) if value[:1] in {"{", "["} else value
        except (ValueError, RecursionError):
            return False
    return isinstance(value, dict | list)


def name(value: object) -> str | None:
    """The text of a JSON value that names something; None if it names nothing."""
    if _is_container(value):
        return None
    return known(value)


def entity(value: object) -> str | None:
    """A name in which a JSON number that is an integer is the text of that integer.

    Numbers with a negative exponent or one above 99, and those between -1 and 1, stay as written.
    """
    if isinstance(value, JsonNumber):
        digits, _, exponent = value.lower().partition("e")
        if not Decimal(digits):
            return "0"
        plain = digits.lstrip("-")[0] != "0" and 0 <= int(exponent or 0) < 100
        exact = Decimal(value)
        if plain and "-" not in exponent and exact == exact.to_integral_value():
            return str(int(exact))
    return name(value)


def known_id(value: object) -> str | None:
    """An entity's name, None if it is a text that programs write for no id."""
    found = entity(value)
    plain = (found or "").strip(_BLANKS).lower()
    none = {"null", "undefined", "none", "00000000-0000-0000-0000-000000000000"}
    return None if plain in none or set(plain) <= {"0"} else found


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


def comma_amount(value: str | None) -> Decimal | None:
    """Like `amount`, where the decimal sign may also be a comma."""
    return None if value is None else amount(value.replace(",", "."))


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
