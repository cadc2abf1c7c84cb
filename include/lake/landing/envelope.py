"""Parses event lines into the columns of `raw_events/` and finds the day of each event.

There are two paths with equal results. The fast path decodes a line that has only the envelope's
own fields, with their usual types, directly into a struct. The slow path decodes every other line
field by field.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from itertools import accumulate
from typing import Annotated, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

_TYPES: dict[str, pa.DataType] = {
    "event_id": pa.string(),
    "event_type": pa.string(),
    "event_name": pa.string(),
    "event_version": pa.string(),
    "event_timestamp": pa.int64(),
    "app_version": pa.string(),
    "application_id": pa.string(),
    "application_name": pa.string(),
    "event_data": pa.string(),
    "metadata": pa.string(),
}
SCHEMA = pa.schema(_TYPES)
"""The columns of `raw_events/`, in the order in which the Parquet files hold them."""

DAY = 86_400
LAST_SECOND = 253_402_300_799
"""The last second of the year 9999. A later timestamp gives no day."""

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_NULL = msgspec.Raw(b"null")
_REPLACEMENT = "\ufffd"
BLANK = "blank line"
_PLAIN_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_ZERO = re.compile(r"-?0(\.0+)?([eE][+-]?[0-9]+)?")
# Numbers with other exponents stay as they are written, also in the models.
_PERHAPS_INTEGER = re.compile(r"-?[1-9][0-9]*(\.[0-9]+)?([eE]\+?0*[0-9]{1,2})?")
# msgspec does not check the numbers inside a raw value, but a full decode refuses a number that
# does not fit into a double. Such a number has an exponent of three digits or very many digits.
_SUSPECT_NUMBER = r"[:\[,\s][-0-9.]+[eE][+-]?[0-9]{3}|[0-9]{200}"


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event_timestamp: Annotated[int, msgspec.Meta(ge=_LOWEST, le=_HIGHEST)]
    event_id: str | None = None
    event_type: str | None = None
    event_name: str | None = None
    event_version: str | None = None
    app_version: str | None = None
    event_data: msgspec.Raw = _NULL


class _Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event: _Event
    application_id: str | None = None
    application_name: str | None = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ANYTHING = msgspec.json.Decoder()
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EVENT_FIELDS = frozenset(_Event.__struct_fields__)
_ENVELOPE_FIELDS = frozenset(_Envelope.__struct_fields__)


class RejectedLineError(Exception):
    """Raised for a line that cannot be landed; its message is the reason."""


@dataclass(frozen=True)
class Batch:
    """Parsed lines: `events` has the columns of SCHEMA, `rejected` is (index of the line, reason).

    `events.num_rows + len(rejected)` is the number of lines. The rows have no particular order.
    """

    events: pa.Table
    rejected: list[tuple[int, str]]


def parse_lines(lines: Sequence[bytes], arrived_at: int) -> Batch:
    """Parse lines that have no newlines. `arrived_at` (epoch seconds) goes into the metadata."""
    fast: list[_Envelope] = []
    slow: list[int] = []
    # The fast path does not decode the bytes of a raw value. A line that is not UTF-8 is therefore
    # replaced by an empty one, which fails on the fast path and goes to the slow path.
    ascii_only = all(map(bytes.isascii, lines))
    remaining = iter(lines if ascii_only else [x if _is_utf8(x) else b"" for x in lines])
    while True:
        try:
            # The loop runs in C. When a line fails, `extend` keeps the lines before it.
            fast.extend(map(_ENVELOPE.decode, remaining))
            break
        except (msgspec.MsgspecError, RecursionError):
            slow.append(len(fast) + len(slow))

    events = _columns(fast, arrived_at)
    rejected: list[tuple[int, str]] = []
    suspect = pc.match_substring_regex(events["event_data"], _SUSPECT_NUMBER)
    if pc.any(suspect).as_py():
        events = events.filter(_refuse(suspect, events["event_data"], lines, slow, rejected))
    rows: list[dict[str, str | int | None]] = []
    for index in slow:
        try:
            rows.append(parse_line(lines[index], arrived_at))
        except RejectedLineError as error:
            rejected.append((index, str(error)))
    if rows:
        events = pa.concat_tables([events, pa.Table.from_pylist(rows, schema=SCHEMA)])
    return Batch(events, rejected)


def parse_line(line: bytes, arrived_at: int) -> dict[str, str | int | None]:
    """Parse any line into one row of SCHEMA, or raise RejectedLineError with the reason.

    In a text column, a text stays as it is, a number becomes its text, and an object or array
    becomes its JSON text. A zero character becomes U+FFFD, as in the keys that the models read from
    `event_data`. A number as id of an event or application becomes the text of its integer. A null
    or a missing field becomes null. If a key occurs twice, the last value counts.
    """
    value = _validated(line)
    if not isinstance(value, dict):
        raise RejectedLineError("not a JSON object")
    if not isinstance(value.get("event"), dict):
        raise RejectedLineError("no event object")
    envelope = _FIELDS.decode(line)
    event = _FIELDS.decode(envelope["event"])
    metadata: dict[str, Any] = {"processing_timestamp": arrived_at}
    timestamp = None
    if "event_timestamp" in event:
        raw = bytes(event["event_timestamp"]).decode()
        timestamp = _epoch_seconds(raw)
        if timestamp is None or not _PLAIN_INTEGER.fullmatch(raw):
            metadata["raw_event_timestamp"] = raw
    unknown = {
        "event": {name: raw for name, raw in event.items() if name not in _EVENT_FIELDS},
        "envelope": {name: raw for name, raw in envelope.items() if name not in _ENVELOPE_FIELDS},
    }
    if any(unknown.values()):
        metadata["unknown_fields"] = {part: fields for part, fields in unknown.items() if fields}
    data = bytes(event.get("event_data", _NULL)).decode()
    return {
        "event_id": _id(event.get("event_id")),
        "event_type": _text(event.get("event_type")),
        "event_name": _text(event.get("event_name")),
        "event_version": _text(event.get("event_version")),
        "event_timestamp": timestamp,
        "app_version": _text(event.get("app_version")),
        "application_id": _id(envelope.get("application_id")),
        "application_name": _text(envelope.get("application_name")),
        "event_data": None if data == "null" else data,
        "metadata": msgspec.json.encode(metadata).decode(),
    }


def partition_days(events: pa.Table, arrived_at: int, first_day: int) -> pa.Array[Any]:
    """The day of each row's partition, in whole days since 1970 (int64).

    A row whose timestamp gives no day belongs to the day of its arrival. So does a row whose day is
    before `first_day`, which also counts from 1970, or more than one day after its arrival: staging
    quarantines all of them, and random timestamps would otherwise make a partition each.
    """
    timestamp = events["event_timestamp"].combine_chunks()
    first = max(first_day * DAY, 1)
    last = min((arrived_at // DAY + 2) * DAY - 1, LAST_SECOND)
    names_a_day = pc.and_(
        pc.greater_equal(timestamp, pa.scalar(first, pa.int64())),
        pc.less_equal(timestamp, pa.scalar(last, pa.int64())),
    )
    days: pa.Array[Any] = pc.if_else(
        pc.coalesce(names_a_day, pa.scalar(False)),
        pc.divide(timestamp, pa.scalar(DAY)),
        pa.scalar(arrived_at // DAY, pa.int64()),
    )
    return days


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _columns(rows: list[_Envelope], arrived_at: int) -> pa.Table:
    events = [row.event for row in rows]
    metadata = msgspec.json.encode({"processing_timestamp": arrived_at}).decode()
    return pa.table(
        [
            _text_column([event.event_id for event in events]),
            _text_column([event.event_type for event in events]),
            _text_column([event.event_name for event in events]),
            _text_column([event.event_version for event in events]),
            pa.array([event.event_timestamp for event in events], pa.int64()),
            _text_column([event.app_version for event in events]),
            _text_column([row.application_id for row in rows]),
            _text_column([row.application_name for row in rows]),
            _json_text([event.event_data for event in events]),
            pa.repeat(metadata, len(rows)),
        ],
        schema=SCHEMA,
    )


def _text_column(values: list[str | None]) -> pa.Array[Any]:
    column = pa.array(values, pa.string())
    text = column.buffers()[2]
    if text is None or b"\0" not in text.to_pybytes():
        return column
    return pc.replace_substring(column, "\0", _REPLACEMENT)


def _json_text(values: list[msgspec.Raw]) -> pa.Array[Any]:
    """A text column made from the bytes of raw values, without a Python string per row."""
    offsets = array("i", accumulate((memoryview(value).nbytes for value in values), initial=0))
    text = pa.StringArray.from_buffers(
        len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(values))
    )
    absent = pc.equal(text, pa.scalar("null"))
    return pc.if_else(absent, None, text) if pc.any(absent).as_py() else text


def _refuse(
    suspect: pa.BooleanArray,
    event_data: pa.ChunkedArray[Any],
    lines: Sequence[bytes],
    slow: list[int],
    rejected: list[tuple[int, str]],
) -> pa.Array[Any]:
    """Whether each row of the fast path stays, after a full decode of the suspect rows.

    Lines that the full decode refuses are appended to `rejected`.
    """
    not_fast = set(slow)
    index_of_row = [index for index in range(len(lines)) if index not in not_fast]
    keep = [True] * len(index_of_row)
    for scalar in pc.indices_nonzero(suspect):
        row = scalar.as_py()
        try:
            _validated(event_data[row].as_py().encode())
        except RejectedLineError as error:
            keep[row] = False
            rejected.append((index_of_row[row], str(error)))
    return pa.array(keep, pa.bool_())


def _validated(line: bytes) -> object:
    """The value of a line that is strict JSON; raises RejectedLineError if it is not."""
    if not line.strip():
        raise RejectedLineError(BLANK)
    try:
        value: object = _ANYTHING.decode(line.decode())
    except UnicodeDecodeError as error:
        raise RejectedLineError(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise RejectedLineError("nested too deeply") from None
    except msgspec.MsgspecError as error:
        raise RejectedLineError(str(error)) from None
    return value


def _text(raw: msgspec.Raw | None) -> str | None:
    if raw is None:
        return None
    value = bytes(raw)
    if value == b"null":
        return None
    if not value.startswith(b'"'):
        return value.decode()
    return str(_ANYTHING.decode(value)).replace("\0", _REPLACEMENT)


def _id(raw: msgspec.Raw | None) -> str | None:
    """The text of an id, by the rule of the models for the ids in `event_data`.

    12345, 12345.0 and 1.2345e4 are one id. In the lake, a number cannot be told from a string, so
    the models cannot apply their rule to the columns.
    """
    text = _text(raw)
    if raw is None or text is None or bytes(raw).startswith(b'"'):
        return text
    if _ZERO.fullmatch(text):
        return "0"
    if _PERHAPS_INTEGER.fullmatch(text):
        number = Decimal(text)
        if number == number.to_integral_value():
            return str(int(number))
    return text


def _epoch_seconds(raw: str) -> int | None:
    """The floor of a JSON number, or of a number inside a JSON string.

    None for every other value, and for a number that does not fit into 64 bits.
    """
    text = str(_ANYTHING.decode(raw)).strip() if raw.startswith('"') else raw
    if not _NUMBER.fullmatch(text):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    # This check comes first, because the floor of 1e1000000 would be a number of a million digits.
    if number.adjusted() > 18 and number != 0:
        return None
    seconds = int(number.to_integral_value(ROUND_FLOOR))
    return seconds if _LOWEST <= seconds <= _HIGHEST else None
