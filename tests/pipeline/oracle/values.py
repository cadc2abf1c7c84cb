"""Reads single values: texts, JSON, days and exact money."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import NoReturn

TOO_MUCH = Decimal(10) ** 13
"""Amounts that no mart can hold."""
EXACT = Context(prec=100, rounding=ROUND_HALF_UP)
"""So many digits that no product or sum of the lake's amounts is rounded before the end."""

LAST_SECOND = 253402300799
"""The last second of the year 9999."""

_EPOCH = date(1970, 1, 1).toordinal()
_DECIMALS = (("1e9", 0), ("1e5", 4), ("10", 8), ("1e-3", 12), ("1e-7", 16))
"""The decimals that a rate has from a size on; below the last of them it has 20."""
_FOUR = Decimal("0.0001")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")
_AMBIGUOUS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_GROUPED = {
    ",": re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*|(?<=,[0-9]{3},[0-9]{3}))"),
    ".": re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]*|(?<=\.[0-9]{3}\.[0-9]{3}))"),
    "'": re.compile(r"[+-]?[0-9]{1,3}('[0-9]{3})+([.,][0-9]*)?"),
    " ": re.compile(r"[+-]?[0-9]{1,3}( [0-9]{3})+([.,][0-9]*)?"),
}
_BLANKS = "\t\n\v\f\r \u00a0\u3000\u200b\ufeff"
_NULLS = {"", "\\n", "null", "none", "nan"}
_CURRENCIES = {"YEN": "JPY", "RMB": "CNY"}


def text(value: object) -> str | None:
    """A value of a file as text: numbers without exponent, booleans and objects as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | list | dict):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def cell(value: object) -> str | None:
    """The text of a column of a file without blanks around it; None if nothing else is in it."""
    return (text(value) or "").strip(" ") or None


def given(value: object) -> str | None:
    """The text of a column of the ledger or of costs; None also for the words that mean null."""
    found = cell(value)
    return None if (found or "").lower() in _NULLS else found


def known(value: object) -> str | None:
    """The text of a JSON value without blanks at its end; None if nothing else is in it."""
    return (text(value) or "").rstrip(" ") or None


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
    """The object in a JSON text, with its numbers as they are written.

    A JSON string is parsed once more. Anything but an object counts as an empty object.
    """
    value: object = document
    for _ in range(2):
        if isinstance(value, str):
            try:
                value = _parsed_json(value)
            except (ValueError, RecursionError):
                return {}
    return value if isinstance(value, dict) else {}


def is_ambiguous(value: str | None) -> bool:
    """Whether the comma of an amount can be a decimal sign or a separator of thousands."""
    return _AMBIGUOUS.fullmatch((value or "").strip(" \u00a0\u202f")) is not None


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
    """The name of an entity; None if it is a text that programs write for no id."""
    found = entity(value)
    plain = (found or "").strip(_BLANKS).lower()
    none = {"null", "undefined", "none", "00000000-0000-0000-0000-000000000000"}
    return None if plain in none or set(plain) <= {"0"} else found


def number(value: str | None) -> Decimal | None:
    """The number in a text with a decimal point or comma, and with separators of thousands or none.

    It is None if the text is no number, and if its comma is ambiguous.
    """
    if is_ambiguous(value):
        return None
    plain = (value or "").strip(" ")
    for space in "\u00a0\u202f":
        plain = plain.replace(space, " ")
    plain = plain.replace("\u2019", "'").strip(" ")
    for separator, grouped in _GROUPED.items():
        if grouped.fullmatch(plain):
            plain = plain.replace(separator, "")
    plain = plain.replace(",", ".")
    return Decimal(plain) if _NUMBER.fullmatch(plain) else None


def amount(value: str | None) -> Decimal | None:
    """A number with 8 decimals; None if the text is no number or reaches 10^16."""
    return _limited(number(value), 16, 8)


def euro_rate(value: str | None) -> Decimal | None:
    """A number with 20 decimals; None if the text is no number or reaches 10^12."""
    return _limited(number(value), 12, 20)


def _limited(found: Decimal | None, digits: int, decimals: int) -> Decimal | None:
    if found is None or found.adjusted() >= 90:
        return None
    found = found.quantize(Decimal(1).scaleb(-decimals), context=EXACT)
    return found if found.copy_abs() < Decimal(10) ** digits else None


def money(value: Decimal) -> Decimal:
    """Round to four decimals, half away from zero."""
    return value.quantize(_FOUR, context=EXACT)


def cross_rate(own: Decimal, reporting: Decimal) -> Decimal | None:
    """The quotient of two rates to 10 digits at least; None if it has none or reaches 10^12."""
    exact = EXACT.divide(own, reporting)
    decimals = next((n for least, n in _DECIMALS if exact >= Decimal(least)), 20)
    found = exact.quantize(Decimal(1).scaleb(-decimals), context=EXACT)
    return found if 0 < found < 10**12 else None


def ratio(numerator: Decimal | int | None, denominator: Decimal | int | None) -> float | None:
    """A published rate; None if the denominator is zero or a part is None."""
    if numerator is None or not denominator:
        return None
    return float(numerator) / float(denominator)


def money_per(total: Decimal, heads: int) -> Decimal | None:
    """Money per player with four decimals, half away from zero; None without players."""
    return money(EXACT.divide(total, heads)) if heads else None


def currency(value: object, default: str | None) -> str | None:
    """The ISO code of a currency in a source, or the default if there is none."""
    code = (cell(value) or "").upper()
    return _CURRENCIES.get(code, code) or default


def utc_day(seconds: int) -> date | None:
    """The UTC day of an epoch second; None if the second is outside the calendar."""
    if not 0 < seconds <= LAST_SECOND:
        return None
    return date.fromordinal(_EPOCH + seconds // 86400)


def utc_time(seconds: int) -> datetime:
    """The UTC time of an epoch second, without a zone, as warehouses return timestamps."""
    return datetime.fromtimestamp(seconds, tz=UTC).replace(tzinfo=None)


def iso_day(value: object) -> date | None:
    """The day in a date, a timestamp or an ISO text."""
    try:
        return date.fromisoformat((text(value) or "").strip(" ")[:10])
    except ValueError:
        return None
