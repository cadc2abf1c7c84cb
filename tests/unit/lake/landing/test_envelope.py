"""Parsing of single lines: both paths give equal results, and no invalid line is landed."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lake.landing.envelope import (
    DAY,
    LAST_SECOND,
    SCHEMA,
    RejectedLineError,
    parse_line,
    parse_lines,
    partition_days,
)

ARRIVED = 1_790_000_000
TIMESTAMP = 1_788_246_655


def line(application: object = "app", **event: object) -> bytes:
    known = {"event_id": "e1", "event_type": "login", "event_timestamp": TIMESTAMP}
    return json.dumps({"event": known | event, "application_id": application}).encode()


def landed(text: bytes) -> dict[str, Any]:
    """The row of a line that is landed, after a check that both paths give it."""
    batch = parse_lines([text], ARRIVED)
    assert batch.rejected == []
    row: dict[str, Any] = batch.events.to_pylist()[0]
    assert row == parse_line(text, ARRIVED)
    assert batch.events.schema == SCHEMA
    return row


def reason(text: bytes) -> str:
    """The reason why a line is rejected, after a check that both paths reject it."""
    batch = parse_lines([text], ARRIVED)
    assert batch.events.num_rows == 0
    ((index, why),) = batch.rejected
    assert index == 0
    with pytest.raises(RejectedLineError):
        parse_line(text, ARRIVED)
    return why


def test_a_usual_line_fills_the_columns() -> None:
    text = (
        b'{"event":{"event_version":"1.0","event_id":"e1","event_type":"t","event_name":"n",'
        b'"event_timestamp":1788246655,"event_data":{"user_id": "p\\u00e9"},"app_version":"2"},'
        b'"application_id":"a","application_name":"A"}'
    )
    assert landed(text) == {
        "event_id": "e1",
        "event_type": "t",
        "event_name": "n",
        "event_version": "1.0",
        "event_timestamp": 1788246655,
        "app_version": "2",
        "application_id": "a",
        "application_name": "A",
        "event_data": '{"user_id": "p\\u00e9"}',
        "metadata": '{"processing_timestamp":1790000000}',
    }


@pytest.mark.parametrize(
    ("raw", "seconds", "is_kept"),
    [
        ("1788246655", TIMESTAMP, False),
        ("-5", -5, False),
        ("0", 0, False),
        ("9223372036854775807", 2**63 - 1, False),
        ("9223372036854775808", None, True),
        ("1788246655.9", TIMESTAMP, True),
        ("-0.5", -1, True),
        ("1.788246655e9", TIMESTAMP, True),
        ("1e300", None, True),
        ('"1788246655"', TIMESTAMP, True),
        ('" 1788246655.5 "', TIMESTAMP, True),
        ('"1e999999999"', None, True),
        ('"-1e-999999999999999999999"', None, True),
        ('"2026-09-01T00:00:00Z"', None, True),
        ('"NaN"', None, True),
        ('"Infinity"', None, True),
        ('"1_000"', None, True),
        ('""', None, True),
        ("null", None, True),
        ("true", None, True),
        ("[1]", None, True),
        ('{"a": 1}', None, True),
    ],
)
def test_a_timestamp_becomes_whole_seconds_and_unusual_text_is_kept(
    raw: str, seconds: int | None, is_kept: bool
) -> None:
    row = landed(b'{"event":{"event_id":"e","event_timestamp":%s}}' % raw.encode())
    assert row["event_timestamp"] == seconds
    metadata = json.loads(row["metadata"])
    assert metadata == {"processing_timestamp": ARRIVED} | (
        {"raw_event_timestamp": raw} if is_kept else {}
    )


def test_a_missing_timestamp_leaves_no_raw_text() -> None:
    row = landed(b'{"event":{}}')
    assert row["event_timestamp"] is None
    assert json.loads(row["metadata"]) == {"processing_timestamp": ARRIVED}
    assert row["event_data"] is None
    assert row["application_id"] is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, None), (12, "12"), (1.5, "1.5"), (True, "true"), ("", ""), ({"a": [1]}, '{"a": [1]}')],
)
def test_ids_that_are_not_text_become_text(value: object, text: str | None) -> None:
    assert landed(line(event_id=value))["event_id"] == text
    assert landed(line(event_type=value))["event_type"] == text
    assert landed(line(application=value))["application_id"] == text


@pytest.mark.parametrize("data", [{"a": 1}, '{"a": 1}', [1, "x"], 5, True, "plain"])
def test_event_data_keeps_its_json_text(data: object) -> None:
    assert landed(line(event_data=data))["event_data"] == json.dumps(data)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("12345", "12345"),
        ("12345.0", "12345"),
        ("1.2345e4", "12345"),
        ("1.2345E+04", "12345"),
        ("-7.00", "-7"),
        ("76561197980428154.0", "76561197980428154"),
        ("76561197980428155.0", "76561197980428155"),
        ("9" * 200 + ".0", "9" * 200),
        ("0", "0"),
        ("-0.0", "0"),
        ("0e5", "0"),
        ("0e-99999999999999999999", "0"),
        ("1.50", "1.50"),
        ("15e-1", "15e-1"),
        ("1e-99999999999999999999", "1e-99999999999999999999"),
        ("1e200", "1e200"),
        ("0.7E+01", "0.7E+01"),
        ('"12345.0"', "12345.0"),
        ('"1e3"', "1e3"),
        ("true", "true"),
    ],
)
def test_a_number_as_id_becomes_the_text_of_its_integer(raw: str, text: str) -> None:
    row = landed(
        b'{"event":{"event_id":%s,"event_version":%s},"application_id":%s}' % ((raw.encode(),) * 3)
    )
    assert [row["event_id"], row["application_id"]] == [text, text]
    assert row["event_version"] == raw.strip('"')


def test_of_two_equal_keys_the_last_counts() -> None:
    row = landed(
        b'{"event":{"event_id":"lost"},"application_id":"x","event":{"event_id":"a","event_id":"b",'
        b'"event_timestamp":1,"event_timestamp":2,"event_data":{"a":1},"event_data":{"b":2,"b":3}},'
        b'"application_id":"y"}'
    )
    assert [row["event_id"], row["application_id"], row["event_timestamp"]] == ["b", "y", 2]
    assert row["event_data"] == '{"b":2,"b":3}'


def test_a_zero_character_of_a_text_becomes_the_replacement_character() -> None:
    row = landed(line("a\0", event_id="\0e\0", event_type="t", event_data={"user_id": "p\0"}))
    assert [row["application_id"], row["event_id"], row["event_type"]] == [
        "a\ufffd",
        "\ufffde\ufffd",
        "t",
    ]
    # JSON text keeps its escapes, which the models read in the same way.
    assert row["event_data"] == '{"user_id": "p\\u0000"}'
    slow = landed(line("a\0", event_id="\0e", other=1))
    assert [slow["application_id"], slow["event_id"]] == ["a\ufffd", "\ufffde"]
    several = parse_lines([line(), line(event_id="x\0"), line(event_id=None)], ARRIVED).events
    assert several["event_id"].to_pylist() == ["e1", "x\ufffd", None]


def test_unknown_fields_keep_their_json_text() -> None:
    text = b'{"event":{"event_id":"e","more":[1, 2.50]},"application_id":"a","region":{"x": null}}'
    assert json.loads(landed(text)["metadata"]) == {
        "processing_timestamp": ARRIVED,
        "unknown_fields": {"event": {"more": [1, 2.5]}, "envelope": {"region": {"x": None}}},
    }
    assert "[1, 2.50]" in landed(text)["metadata"]
    only_event = json.loads(landed(b'{"event":{"more":1}}')["metadata"])
    assert only_event["unknown_fields"] == {"event": {"more": 1}}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "blank line"),
        (b" \t\r", "blank line"),
        (b"[1]", "not a JSON object"),
        (b'"event"', "not a JSON object"),
        (b"{}", "no event object"),
        (b'{"event":null}', "no event object"),
        (b'{"event":[]}', "no event object"),
        (b'{"event":"{}"}', "no event object"),
        (b'{"event":{}} x', "trailing"),
        (b'{"event":{}', "truncated"),
        (b"\xef\xbb\xbf" + line(), "malformed"),
        (b'{"event":{"event_data":{"a":NaN}}}', "invalid character"),
        (b'{"event":{"event_data":{"a":-Infinity}}}', "invalid"),
        (b'{"event":{"event_data":{"a":1e999}}}', "out of range"),
        (b'{"event":{"event_timestamp":1,"event_data":{"a":[-1E+0999]}}}', "out of range"),
        (b'{"event":{"event_timestamp":1,"event_data":' + b"9" * 5000 + b"}}", "out of range"),
        (b'{"event":{"event_timestamp":1,"event_data":{"a":"\xff"}}}', "not UTF-8 at byte 49"),
        (b'{"event":{"event_timestamp":1,"event_data":{"a":"\xed\xa0\x80"}}}', "not UTF-8"),
        (b'{"event":{"event_timestamp":1,"event_data":{"a":"\\ud800"}}}', ""),
        (b'{"event":{"event_timestamp":1,"event_data":{"a":"\\udc00x"}}}', "surrogate"),
        (b'{"event":{"event_timestamp":1,"event_data":{"a":01}}}', "invalid number"),
        (b'{"event":{"event_timestamp":1,"event_data":{"a":1,}}}', "trailing comma"),
        (b'{"event":{"event_timestamp":1,"event_data":' + b"[" * 99_999, "nested too deeply"),
    ],
)
def test_a_rejected_line_has_its_reason(text: bytes, why: str) -> None:
    assert why in reason(text)


def test_rejected_lines_of_a_mixed_batch_have_the_right_index() -> None:
    huge = b'{"event":{"event_timestamp":1,"event_data":{"a":1e999}}}'
    lines = [line(), b"", line(event_timestamp=None), huge, line("ö"), b"\xff", line(more=1), huge]
    batch = parse_lines(lines, ARRIVED)
    assert sorted(index for index, _ in batch.rejected) == [1, 3, 5, 7]
    assert batch.events.num_rows == 4


FIRST_DAY = 14_610
"""2010-01-01, in days since 1970."""


def days_of(*times: int | None, arrived_at: int = ARRIVED, first: int = FIRST_DAY) -> list[int]:
    """The days of the partitions of events with these timestamps, in days since the arrival."""
    lines = [line(event_timestamp=time) for time in times]
    # The slow path, which keeps the order with all timestamps.
    rows = [parse_line(text, arrived_at) for text in lines]
    events = pa.Table.from_pylist(rows, schema=SCHEMA)
    found = partition_days(events, arrived_at, first)
    return [day.as_py() - arrived_at // DAY for day in found]


def test_a_row_belongs_to_its_own_day_from_the_first_day_until_the_day_after_arrival() -> None:
    today = ARRIVED // DAY
    own = [FIRST_DAY * DAY, TIMESTAMP, ARRIVED, (today + 2) * DAY - 1]
    assert days_of(*own) == [time // DAY - today for time in own]


def test_any_other_row_belongs_to_the_day_of_arrival() -> None:
    others = [1, DAY, FIRST_DAY * DAY - 1, (ARRIVED // DAY + 2) * DAY]
    never = [LAST_SECOND, LAST_SECOND + 1, 2**63 - 1, 0, -1, -(2**63), None]
    assert set(days_of(*others, *never)) == {0}


def test_the_bounds_of_the_calendar_are_no_error() -> None:
    assert days_of(0, 1, first=0, arrived_at=DAY) == [0, -1]
    assert days_of(LAST_SECOND, LAST_SECOND + 1, arrived_at=LAST_SECOND) == [0, 0]


def test_random_timestamps_make_no_partition_each() -> None:
    numbers = range(20_000)
    times = [(number * 2_654_435_761) % LAST_SECOND for number in numbers]
    own = {day for day in days_of(*times) if day}
    # About 74 of 10,000 of the random days lie between the two bounds.
    assert len(own) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["event_id", "event_type", "event_timestamp", "event_data", "app_version", "other", "event"]
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(FIELDS, JSON), st.dictionaries(FIELDS, JSON), JSON, st.booleans())
def test_any_line_is_landed_unchanged_or_rejected(
    event: dict[str, Any], envelope: dict[str, Any], data: Any, is_ascii: bool
) -> None:
    value = envelope | {"event": event | {"event_data": data}}
    text = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    batch = parse_lines([text], ARRIVED)
    assert batch.events.num_rows + len(batch.rejected) == 1
    if batch.rejected:
        # These lines are not strict JSON: they have NaN, an infinity or half a surrogate pair.
        assert any(odd in json.dumps(value) for odd in ("NaN", "Infinity", "\\ud"))
        return
    row = landed(text)
    kept = None if row["event_data"] is None else json.loads(row["event_data"])
    assert kept == data
    for name in ("event_data", "metadata"):
        assert duckdb.execute("select json_valid(?)", [row[name]]).fetchone() in {(True,), (None,)}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 3))
def test_damaged_lines_are_landed_as_json_or_rejected(noise: bytes, at: int, cut: int) -> None:
    whole = line(event_data={"user_id": "ö", "numbers": [1e5, -0.1, 12e509], "t": "\\u00e9"})
    text = (whole[:at] + noise + whole[at + cut :]).replace(b"\n", b"")
    batch = parse_lines([text], ARRIVED)
    assert batch.events.num_rows + len(batch.rejected) == 1
    for row in batch.events.to_pylist():
        assert row == parse_line(text, ARRIVED)
        if row["event_data"] is not None:
            json.loads(row["event_data"])
