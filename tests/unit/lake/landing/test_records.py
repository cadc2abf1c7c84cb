"""JSON objects side by side on one line: each is landed, or rejected with its own bytes."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from hypothesis import given, settings
from hypothesis import strategies as st

from include.lake.landing import event_files, parquet_files, records
from include.lake.landing.landing import land_files
from include.lake.landing.landing_zone import LandingZone
from include.lake.landing.records import end_of_objects, parse_records
from tests.unit.lake.landing.event_lake import (
    ARRIVED,
    Command,
    all_rows,
    event_line,
    rows,
)


def event(name: str, **data: object) -> bytes:
    """An event with an id, and with fields of `event_data`."""
    fields = {"event_id": name, "event_timestamp": 1_788_246_655, "event_data": data}
    return json.dumps({"event": fields}).encode()


def parsed(*lines: bytes) -> tuple[list[str], list[tuple[int, bytes]]]:
    """The ids of the landed events, and index and bytes of each rejected record."""
    found = parse_records(lines, ARRIVED)
    assert found.events.num_rows + len(found.rejected) == found.count
    return (
        sorted(map(str, found.events["event_id"].to_pylist())),
        sorted((index, text) for index, text, _ in found.rejected),
    )


@pytest.mark.parametrize("between", [b"", b" ", b"\t \r"])
def test_each_object_of_a_line_is_landed(between: bytes) -> None:
    line = between.join([event("a"), event("b"), event("c")])
    assert parsed(line, event("d"), line + between) == (["a", "a", "b", "b", "c", "c", "d"], [])


TRICKY = ["}{", "{}{}{", "}{}{}{}{", '"}{"', '\\"}{\\', "} {", '}{"event":{}}{', "\\"]


def test_braces_inside_of_strings_do_not_end_an_object() -> None:
    for text in TRICKY:
        for other in TRICKY:
            line = event("a", x=text, y=other) + event("b") + event("c", **{text: other, "z": text})
            assert parsed(line) == (["a", "b", "c"], []), line


@pytest.mark.parametrize(
    "bad",
    [
        b'{"event":{"event_id":"x"',
        b'{"event":{"event_id":"x}',
        b'{"event":{"event_data":{"a":NaN}}}',
        b'{"event":{"event_data":"\xff"}}',
        b'{"no":"event"}',
        b"{}",
        b"{",
        b'{"event":{}} x',
    ],
)
def test_what_is_broken_is_rejected_with_its_bytes(bad: bytes) -> None:
    """What follows a piece without an end is rejected with it, up to the next `}{`."""
    assert parsed(event("a") + event("b") + bad) == (["a", "b"], [(0, bad)])
    if bad.endswith(b"}"):
        line = event("a") + bad + event("b")
        assert parsed(b"", line) == (["a", "b"], [(0, b""), (1, bad)])


def test_a_line_without_any_event_is_rejected_as_a_whole() -> None:
    for line in (b"{}{}", b"}{}{", b'{"a":1} {"b":2}', b'x{"a":"}{"}', b"{" * 50 + b"}{" * 50):
        assert parsed(line) == ([], [(0, line)])


def test_a_comma_or_an_array_does_not_make_objects_stand_side_by_side() -> None:
    for line in (event("a") + b"," + event("b"), b"[" + event("a") + b"]"):
        assert parsed(line) == ([], [(0, line)])


def test_the_pieces_of_a_line_are_parsed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "OBJECTS_AT_ONCE", 7)
    names = [f"{number:03}" for number in range(100)]
    line = b"".join(map(event, names))
    bad = [b"{}" * count for count in (3, 20)]
    found = parsed(line, event("x") + event("y"), *bad, line[:-1])
    assert found[0] == sorted([*names, *names[:-1], "x", "y"])
    assert b"".join(text for _, text in found[1]) == b"".join(bad) + event("099")[:-1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('}{"\\ ,:aé\t')),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('}{"\\'), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(JSON, min_size=1, max_size=6), st.sampled_from([b"", b" ", b"\t\r "]))
def test_any_objects_side_by_side_are_landed_unchanged(values: list[object], gap: bytes) -> None:
    found = parse_records([gap.join(event(str(n), x=x) for n, x in enumerate(values))], ARRIVED)
    assert found.rejected == []
    landed = zip(
        *(found.events[name].to_pylist() for name in ("event_id", "event_data")), strict=True
    )
    assert {int(name): json.loads(data)["x"] for name, data in landed} == dict(enumerate(values))


@settings(max_examples=300, deadline=None)
@given(st.lists(JSON, min_size=1, max_size=4), st.integers(0, 300), st.binary(max_size=4))
def test_a_damaged_line_loses_no_byte(values: list[object], at: int, noise: bytes) -> None:
    """Rejected records are pieces of the line, in its order, and its events lie between them."""
    whole = b"".join(event(str(number), x=value) for number, value in enumerate(values))
    line = (whole[:at] + noise + whole[at:]).replace(b"\n", b"")
    found = parse_records([line], ARRIVED)
    assert found.events.num_rows + len(found.rejected) == found.count
    position = 0
    landed: list[bytes] = []
    for _, text, _ in found.rejected:
        start = line.index(text, position)
        landed.append(line[position:start])
        position = start + len(text)
    landed.append(line[position:])
    between, _ = parsed(*(text for text in landed if text)) if any(landed) else ([], [])
    assert sorted(map(str, found.events["event_id"].to_pylist())) == between


def test_the_end_of_the_objects_is_never_inside_of_a_string() -> None:
    for text in TRICKY:
        first, second = event("a", x=text), event("b", x=text, y=text)
        whole = first + b" " + second
        assert end_of_objects(first) == end_of_objects(second) == 0
        for length in range(len(whole)):
            end = end_of_objects(whole[:length])
            assert end == (len(first) + 1 if length > len(first) + 1 else 0)


@pytest.mark.parametrize("block_bytes", [50, 199, 1_000, 30_000])
def test_a_line_of_many_blocks_is_landed_object_by_object(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(event_files, "BLOCK_BYTES", block_bytes)
    bad = [b'{"a":1}', b'{"event":{"x":NaN}}']
    objects = [event_line(number) for number in range(200)]
    objects[50:50] = bad
    source = tmp_path / "a"
    lines = [b"not json", b"".join(objects), b"", event_line(200) + event_line(201), b"{"]
    source.write_bytes(b"\n".join(lines))
    (done,) = land_files(lake, [str(source)], ARRIVED)
    assert (done.lines, done.landed, done.rejected) == (5, 202, 5)
    assert {row[1] for row in rows(lake)} == {f"e{number}" for number in range(202)}
    rejected = sorted((row[3], row[1]) for row in rows(lake, "rejected_events"))
    assert rejected == [(1, lines[0]), (2, bad[0]), (2, bad[1]), (3, b""), (5, b"{")]


@pytest.mark.parametrize("block_bytes", [61, 300, 5_000])
def test_a_line_of_many_blocks_is_never_cut_inside_of_a_string(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(event_files, "BLOCK_BYTES", block_bytes)
    source = tmp_path / "a.jsonl"
    objects = [
        event(f"{n}-{m}", x=text, y=other)
        for n, text in enumerate(TRICKY)
        for m, other in enumerate(TRICKY)
    ]
    source.write_bytes(b"".join(objects))
    (done,) = land_files(lake, [str(source)], ARRIVED)
    assert (done.lines, done.landed, done.rejected) == (1, len(TRICKY) ** 2, 0)


def test_a_line_without_end_is_never_held_as_a_whole(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(event_files, "LONGEST_LINE", 20_000)
    longest = 0

    def measured(source: str, stream: IO[bytes]) -> Iterator[bytes]:
        nonlocal longest
        for block in event_files.blocks(source, stream):
            longest = max(longest, len(block))
            yield block

    monkeypatch.setattr(parquet_files, "blocks", measured)
    stream = io.BytesIO(b"".join(event_line(number) for number in range(20_000)))
    with LandingZone(lake) as zone:
        done = zone.land("a", stream, ARRIVED)
    assert (done.lines, done.landed, done.rejected) == (1, 20_000, 0)
    assert 5_000 < longest < 20_000


def test_the_output_names_the_records_if_they_are_not_the_lines(
    tmp_path: Path, command: Command
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(event_line(1) + event_line(2) + b"{}\n" + event_line(3) + b"\n")
    code, out, _ = command(source)
    assert code == 0
    assert f"{source}: 2 lines with 4 records, 3 landed, 1 rejected" in out
    assert "1 file: 2 lines with 4 records, 3 landed, 1 rejected, 0 already landed" in out


def test_equal_objects_in_other_blocks_are_landed_once(
    tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt names the content, which does not depend on where a line was cut."""
    text = b"".join(event_line(number) for number in range(100))
    plain, zipped = tmp_path / "a", tmp_path / "b.gz"
    plain.write_bytes(text)
    zipped.write_bytes(gzip.compress(text))
    land_files(lake, [str(plain)], ARRIVED)
    before = all_rows(lake)
    monkeypatch.setattr(event_files, "BLOCK_BYTES", 700)
    (done,) = land_files(lake, [str(zipped)], ARRIVED)
    assert done.landed_before
    assert all_rows(lake) == before
