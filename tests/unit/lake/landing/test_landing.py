"""Landing: each line of an event file is landed once or rejected, with its bytes and its day."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.landing import event_files, parquet_files
from include.lake.landing.landing import land_files
from tests.unit.lake.landing.event_lake import (
    ARRIVED,
    DAY,
    TIMESTAMP,
    Command,
    all_rows,
    event_line,
    event_text,
    rows,
)

ARRIVED_FOLDER = "year=2026/month=09/day=21"


def test_events_are_landed_by_day_and_rejected_lines_keep_their_bytes(
    lake: Path, source: Path
) -> None:
    (done,) = land_files(lake, [str(source)], ARRIVED)
    assert (done.lines, done.landed, done.rejected) == (33, 30, 3)
    events = rows(lake)
    assert Counter(Path(place).parent.name for place, *_ in events) == {
        "day=01": 10,
        "day=02": 10,
        "day=03": 10,
    }
    assert {json.loads(row[-1])["processing_timestamp"] for row in events} == {ARRIVED}
    rejected = rows(lake, "rejected_events")
    assert {ARRIVED_FOLDER in place for place, *_ in rejected} == {True}
    assert [row[1:4] for row in sorted(rejected, key=lambda row: row[3])] == [
        (b"not json", str(source), 31),
        (b"", str(source), 32),
        (b"[]", str(source), 33),
    ]
    assert {row[5] for row in rejected} == {ARRIVED}


def test_events_without_a_day_are_landed_under_the_day_of_arrival(
    lake: Path, tmp_path: Path
) -> None:
    times = [None, 0, -1, TIMESTAMP * 1000, "2026-09-01", 253_402_300_800]
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"\n".join(event_line(n, time) for n, time in enumerate(times)))
    land_files(lake, [str(source)], ARRIVED)
    places = {Path(place).parent for place, *_ in rows(lake)}
    assert places == {Path("raw_events") / ARRIVED_FOLDER}


def test_equal_content_is_landed_once_under_any_file_name(
    lake: Path, source: Path, tmp_path: Path, command: Command
) -> None:
    zipped = tmp_path / "b.jsonl.gz"
    # The file has two gzip members, as it has after an append.
    zipped.write_bytes(gzip.compress(event_text()[:500]) + gzip.compress(event_text()[500:]))
    assert command(source)[0] == 0
    before = all_rows(lake)
    code, out, _ = command(zipped, source)
    assert code == 0
    assert out.count("already landed") == 3
    assert f"as {source}" in out
    assert all_rows(lake) == before


def test_a_gzip_file_gives_the_rows_of_the_plain_file(tmp_path: Path, source: Path) -> None:
    zipped = tmp_path / "a.jsonl.gz"
    zipped.write_bytes(gzip.compress(event_text()))
    land_files(tmp_path / "plain", [str(source)], ARRIVED)
    land_files(tmp_path / "zipped", [str(zipped)], ARRIVED)
    assert rows(tmp_path / "plain") == rows(tmp_path / "zipped")


@pytest.mark.parametrize("padding", [b"", bytes(1), bytes(512), bytes(70_000)])
def test_every_member_of_a_gzip_file_is_landed_once(
    lake: Path, tmp_path: Path, padding: bytes
) -> None:
    """A file that programs appended to has several members, and tapes pad it with zeros."""
    lines = [event_line(number) + b"\n" for number in range(50)]
    members = [b"".join(lines[:20]), b"", b"".join(lines[20:21])[:40], b"".join(lines[20:])[40:]]
    zipped = tmp_path / "a.jsonl.gz"
    zipped.write_bytes(b"".join(map(gzip.compress, members)) + padding)
    (done,) = land_files(lake, [str(zipped)], ARRIVED)
    assert (done.lines, done.landed, done.rejected) == (50, 50, 0)
    assert Counter(row[1] for row in rows(lake)) == {f"e{number}": 1 for number in range(50)}


def test_a_gzip_file_that_is_cut_anywhere_is_refused(
    lake: Path, tmp_path: Path, command: Command
) -> None:
    first = gzip.compress(event_line(1) + b"\n")
    whole = first + gzip.compress(event_line(2) + b"\n")
    zipped = tmp_path / "a.jsonl.gz"
    for length in range(1, len(whole)):
        # A file without its last member is a whole file, so nothing shows that it was cut.
        if length != len(first):
            zipped.write_bytes(whole[:length])
            code, _, error = command(zipped)
            assert (code, len(error.splitlines())) == (1, 1)
            assert f"{zipped} is a damaged or incomplete gzip file" in error
    assert all_rows(lake) == [[], []]


def test_content_is_landed_again_if_its_partitions_were_removed(lake: Path, source: Path) -> None:
    land_files(lake, [str(source)], ARRIVED)
    before = all_rows(lake)
    for dataset in ("raw_events", "rejected_events"):
        lake.joinpath(dataset).rename(lake / f"_{dataset}")
    land_files(lake, [str(source)], ARRIVED)
    assert all_rows(lake) == before


def test_a_missing_last_newline_changes_no_count(lake: Path, tmp_path: Path) -> None:
    for name, content, lines in (
        ("a", event_line(1), 1),
        ("b", event_line(2) + b"\n", 1),
        ("c", event_line(3) + b"\r\n" + event_line(4) + b"\r\n", 2),
        ("d", b"\n", 1),
        ("e", event_line(5) + b"\n\n\n", 3),
    ):
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(content)
        (done,) = land_files(lake, [str(path)], ARRIVED)
        assert done.lines == lines
    assert len(rows(lake)) == 5
    assert len(rows(lake, "rejected_events")) == 3


def test_no_line_is_lost_with_small_blocks_and_few_open_files(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "BLOCK_BYTES", 1_000)
    for name, value in (
        ("BUFFER_BYTES", 5_000),
        ("OPEN_FILES", 3),
        ("LINES_AT_ONCE", 4),
        ("FILE_BYTES", 2_000),
    ):
        monkeypatch.setattr(parquet_files, name, value)
    lines = [event_line(number, TIMESTAMP + number % 40 * DAY) for number in range(1_000)]
    lines += [b"x"] * 100
    lines.sort(key=zlib.crc32)
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"\n".join(lines))
    (done,) = land_files(lake, [str(source)], ARRIVED)
    assert (done.landed, done.rejected) == (1_000, 100)
    events = rows(lake)
    assert {row[1] for row in events} == {f"e{number}" for number in range(1_000)}
    assert len({place for place, *_ in events}) > 40
    numbers = [row[3] for row in rows(lake, "rejected_events")]
    assert sorted(numbers) == [n for n, one in enumerate(lines, start=1) if one == b"x"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_given_by_name_is_read_whatever_its_name_is(
    lake: Path, tmp_path: Path, command: Command, pack: Callable[[bytes], bytes]
) -> None:
    names = ["table.csv", "no ending", "_hidden.txt", ".crc", "a*[b]?'\"(1);$x.jsonl", "x.GZ"]
    for number, name in enumerate(names):
        zipped = pack is gzip.compress or name == "x.GZ"
        (tmp_path / name).write_bytes(
            gzip.compress(event_line(number)) if zipped else event_line(number)
        )
    code, out, _ = command(*(tmp_path / name for name in names))
    assert code == 0
    assert f"{len(names)} files: {len(names)} lines, {len(names)} landed, 0 rejected" in out
    assert {row[1] for row in rows(lake)} == {f"e{number}" for number in range(len(names))}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input_is_landed_plain_or_compressed(
    lake: Path, command: Command, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    reading, writing = os.pipe()
    os.write(writing, pack(event_text()))
    os.close(writing)
    with os.fdopen(reading) as stream:
        monkeypatch.setattr("sys.stdin", stream)
        code, out, _ = command("-", "--arrived-at", ARRIVED)
    assert code == 0
    assert "-: 33 lines, 30 landed, 3 rejected" in out
    assert {row[2] for row in rows(lake, "rejected_events")} == {"-"}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("1790000000", ARRIVED),
        ("2026-09-21T14:13:20Z", ARRIVED),
        ("2026-09-21T14:13:20", ARRIVED),
        ("2026-09-21T16:13:20+02:00", ARRIVED),
        ("2026-09-21", ARRIVED // DAY * DAY),
    ],
)
def test_an_arrival_time_may_be_seconds_a_time_or_a_date(
    lake: Path, source: Path, command: Command, given: str, seconds: int
) -> None:
    assert command(source, "--arrived-at", given)[0] == 0
    assert {row[5] for row in rows(lake, "rejected_events")} == {seconds}


def test_an_invalid_arrival_time_is_refused(source: Path, lake: Path, command: Command) -> None:
    for given in ("soon", "0", "999999999999"):
        code, _, error = command(source, "--arrived-at", given)
        assert code == 2
        assert "is no time" in error
    assert not lake.exists()


def test_a_byte_order_mark_is_not_part_of_the_first_line(lake: Path, tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    zipped, plain, without = (tmp_path / name for name in ("a.jsonl.gz", "b.jsonl", "c.jsonl"))
    zipped.write_bytes(gzip.compress(mark + event_line(1) + b"\n" + event_line(2)))
    plain.write_bytes(mark + event_line(3) + b"\n")
    without.write_bytes(event_line(3) + b"\n")
    done = land_files(lake, [str(zipped), str(plain), str(without)], ARRIVED)
    assert [(one.lines, one.landed, one.rejected) for one in done] == [(2, 2, 0)] + [(1, 1, 0)] * 2
    assert done[2].landed_before
    assert {row[1] for row in rows(lake)} == {"e1", "e2", "e3"}


def test_files_that_were_put_together_may_keep_their_marks(lake: Path, tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    source = tmp_path / "a.jsonl"
    bad = mark + b"{bad"
    source.write_bytes(mark + event_line(1) + b"\n" + mark + event_line(2) + b"\n" + bad)
    (done,) = land_files(lake, [str(source)], ARRIVED)
    assert (done.lines, done.landed, done.rejected) == (3, 2, 1)
    assert [row[1:4:2] for row in rows(lake, "rejected_events")] == [(bad, 3)]
