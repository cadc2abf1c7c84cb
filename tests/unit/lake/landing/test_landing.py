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


def test_a_folder_is_searched_without_hidden_names(
    lake: Path, tmp_path: Path, command: Command
) -> None:
    for number, name in enumerate(("x/b.jsonl", "x/y/a.jsonl.gz", "_x/c.jsonl", "x/.d.jsonl")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = event_line(number)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (tmp_path / "in" / "notes.txt").write_text("a note")
    code, out, _ = command(tmp_path / "in")
    assert code == 0
    assert "2 files: 2 lines, 2 landed, 0 rejected" in out
    assert {row[1] for row in rows(lake)} == {"e0", "e1"}


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
