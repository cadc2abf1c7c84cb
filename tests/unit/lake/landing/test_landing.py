"""Landing: every line once and somewhere, whatever the file, the disk and the process do."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb
import pyarrow.parquet as pq

from include.lake.__main__ import main
from include.lake.landing import event_files
from include.lake.landing import parquet_files as staging
from include.lake.landing.envelope import SCHEMA, Batch, parse_lines
from include.lake.landing.landing import land_files
from include.lake.landing.landing_zone import LandingZone, finish_landings
from include.lake.landing.parquet_files import REJECTED_SCHEMA
from include.settings import ROOT, UserError

DATA = ROOT.parent / "shared" / "data"
ARRIVED = 1_790_000_000
TIMESTAMP = 1_788_246_655
DAY = 86_400
ARRIVED_FOLDER = "year=2026/month=09/day=21"


def line(number: int, timestamp: object = TIMESTAMP) -> bytes:
    data = {"user_id": f"p{number % 7}"}
    event = {"event_id": f"e{number}", "event_timestamp": timestamp, "event_data": data}
    return json.dumps({"event": event, "application_id": "a"}).encode()


def text(count: int = 30, days: int = 3) -> bytes:
    lines = [line(number, TIMESTAMP + number % days * DAY) for number in range(count)]
    return b"\n".join([*lines, b"not json", b"", b"[]"]) + b"\n"


def rows(lake: Path, dataset: str = "raw_events") -> list[tuple[Any, ...]]:
    """Every row of a data set with its partition and file name, as a reader of the lake sees it."""
    found = []
    for path in lake.joinpath(dataset).rglob("*"):
        if path.is_file():
            table = pq.ParquetFile(path).read()
            assert table.schema == (SCHEMA if dataset == "raw_events" else REJECTED_SCHEMA)
            place = str(path.relative_to(lake))
            found += [(place, *row.values()) for row in table.to_pylist()]
    return sorted(found, key=repr)


def everything(lake: Path) -> list[list[tuple[Any, ...]]]:
    return [rows(lake, "raw_events"), rows(lake, "rejected_events")]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_bytes(text())
    return path


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `python -m include.lake land …` in this process: exit code, output, error."""
    monkeypatch.setenv("GAME_ANALYTICS_LAKE", str(lake))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["lake", "land", *map(str, arguments)])
        capsys.readouterr()
        return main(), *capsys.readouterr()

    return run


def test_a_file_lands_by_day_and_its_rejects_keep_their_bytes(lake: Path, source: Path) -> None:
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


def test_timestamps_that_name_no_day_lie_under_the_day_of_landing(
    lake: Path, tmp_path: Path
) -> None:
    times = [None, 0, -1, TIMESTAMP * 1000, "2026-09-01", 253_402_300_800]
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"\n".join(line(n, time) for n, time in enumerate(times)))
    land_files(lake, [str(source)], ARRIVED)
    places = {Path(place).parent for place, *_ in rows(lake)}
    assert places == {Path("raw_events") / ARRIVED_FOLDER}


def test_the_same_content_lands_once_whatever_its_name(
    lake: Path, source: Path, tmp_path: Path, command: Command
) -> None:
    zipped = tmp_path / "b.jsonl.gz"
    # Two members, as appending to a gzip file makes them.
    zipped.write_bytes(gzip.compress(text()[:500]) + gzip.compress(text()[500:]))
    assert command(source)[0] == 0
    before = everything(lake)
    code, out, _ = command(zipped, source)
    assert code == 0
    assert out.count("already landed") == 3
    assert f"as {source}" in out
    assert everything(lake) == before


def test_gzip_and_plain_land_the_same_rows(tmp_path: Path, source: Path) -> None:
    zipped = tmp_path / "a.jsonl.gz"
    zipped.write_bytes(gzip.compress(text()))
    land_files(tmp_path / "plain", [str(source)], ARRIVED)
    land_files(tmp_path / "zipped", [str(zipped)], ARRIVED)
    assert rows(tmp_path / "plain") == rows(tmp_path / "zipped")


def test_content_lands_again_after_its_partitions_were_removed(lake: Path, source: Path) -> None:
    land_files(lake, [str(source)], ARRIVED)
    before = everything(lake)
    for dataset in ("raw_events", "rejected_events"):
        lake.joinpath(dataset).rename(lake / f"_{dataset}")
    land_files(lake, [str(source)], ARRIVED)
    assert everything(lake) == before


def test_lines_with_and_without_a_last_newline(lake: Path, tmp_path: Path) -> None:
    for name, content, lines in (
        ("a", line(1), 1),
        ("b", line(2) + b"\n", 1),
        ("c", line(3) + b"\r\n" + line(4) + b"\r\n", 2),
        ("d", b"\n", 1),
        ("e", line(5) + b"\n\n\n", 3),
    ):
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(content)
        (done,) = land_files(lake, [str(path)], ARRIVED)
        assert done.lines == lines
    assert len(rows(lake)) == 5
    assert len(rows(lake, "rejected_events")) == 3


def test_small_blocks_buffers_and_few_open_files_lose_nothing(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "BLOCK_BYTES", 1_000)
    for name, value in (
        ("BUFFER_BYTES", 5_000),
        ("OPEN_FILES", 3),
        ("LINES_AT_ONCE", 4),
        ("FILE_BYTES", 2_000),
    ):
        monkeypatch.setattr(staging, name, value)
    lines = [line(number, TIMESTAMP + number % 40 * DAY) for number in range(1_000)]
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


def test_folders_are_searched_and_hidden_names_are_not(
    lake: Path, tmp_path: Path, command: Command
) -> None:
    for number, name in enumerate(("x/b.jsonl", "x/y/a.jsonl.gz", "_x/c.jsonl", "x/.d.jsonl")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = line(number)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (tmp_path / "in" / "notes.txt").write_text("no events")
    code, out, _ = command(tmp_path / "in")
    assert code == 0
    assert "2 files: 2 lines, 2 landed, 0 rejected" in out
    assert {row[1] for row in rows(lake)} == {"e0", "e1"}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input(
    lake: Path, command: Command, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    reading, writing = os.pipe()
    os.write(writing, pack(text()))
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
def test_arrival_time(lake: Path, source: Path, command: Command, given: str, seconds: int) -> None:
    assert command(source, "--arrived-at", given)[0] == 0
    assert {row[5] for row in rows(lake, "rejected_events")} == {seconds}


def test_arrival_time_that_is_none(source: Path, lake: Path, command: Command) -> None:
    for given in ("soon", "0", "999999999999"):
        code, _, error = command(source, "--arrived-at", given)
        assert code == 2
        assert "is no time" in error
    assert not lake.exists()


# Bad input: one sentence, exit code 1, nothing of the file landed.


def _bad_file(folder: Path, kind: str) -> Path:
    whole = gzip.compress(text(2_000))
    contents: dict[str, bytes] = {
        "empty.jsonl": b"",
        "empty.jsonl.gz": gzip.compress(b""),
        "truncated.jsonl.gz": whole[:-200],
        "no_end.jsonl.gz": whole[:-4],
        "corrupt.jsonl.gz": whole[:2_000] + b"\xff" * 50 + whole[2_050:],
        "checksum.jsonl.gz": whole[:-8] + b"\0\0\0\0" + whole[-4:],
        "plain.jsonl.gz": text(),
        "zero_bytes.jsonl.gz": b"",
        "table.csv": b"a,b\n",
    }
    path = folder / kind
    if kind in contents:
        path.write_bytes(contents[kind])
    elif kind == "folder":
        path.mkdir()
        (path / "notes.txt").write_text("no events")
    elif kind == "dangling.jsonl":
        path.symlink_to(folder / "gone")
    elif kind == "long.jsonl":
        return folder / ("long" * 100)
    elif kind == "unreadable.jsonl":
        # Reading its own memory at address 0 fails for everybody, root included.
        path.symlink_to("/proc/self/mem")
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing.jsonl", "does not exist"),
        ("dangling.jsonl", "cannot be read"),
        ("unreadable.jsonl", "cannot be read"),
        ("long.jsonl", "cannot be read"),
        ("empty.jsonl", "is empty"),
        ("empty.jsonl.gz", "is empty"),
        ("zero_bytes.jsonl.gz", "is empty"),
        ("truncated.jsonl.gz", "damaged or incomplete gzip"),
        ("no_end.jsonl.gz", "damaged or incomplete gzip"),
        ("corrupt.jsonl.gz", "damaged or incomplete gzip"),
        ("checksum.jsonl.gz", "damaged or incomplete gzip"),
        ("plain.jsonl.gz", "damaged or incomplete gzip"),
        ("folder", "holds no event files"),
        ("table.csv", "is no event file"),
    ],
)
def test_bad_input(
    lake: Path, source: Path, tmp_path: Path, command: Command, kind: str, says: str
) -> None:
    bad = _bad_file(tmp_path, kind)
    other = tmp_path / "b.jsonl"
    other.write_bytes(line(1))
    code, out, error = command(source, other, bad, "--arrived-at", ARRIVED)
    assert code == 1
    assert says in error
    assert str(bad) in error
    assert f"Landed before it: {source}, {other}." in error
    assert len(error.splitlines()) == 1
    assert f"{source}: 33 lines" in out
    assert len(rows(lake)) == 31
    assert list((lake / "_landing" / "staging").iterdir()) == []


def test_a_file_without_permission(
    lake: Path, source: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == source:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    code, _, error = command(source)
    assert code == 1
    assert f"{source} cannot be read (Permission denied)" in error
    assert rows(lake) == []


def test_a_line_that_no_event_is(
    lake: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "LONGEST_LINE", 5_000)
    monkeypatch.setattr(event_files, "BLOCK_BYTES", 1_000)
    source = tmp_path / "image.jsonl"
    source.write_bytes(line(1) + b"\n" + b"x" * 20_000)
    code, _, error = command(source)
    assert code == 1
    assert "has a line of over" in error
    assert rows(lake) == []


def test_a_lake_that_is_a_file(lake: Path, source: Path, command: Command) -> None:
    lake.write_text("a file")
    code, _, error = command(source)
    assert code == 1
    assert f"the lake {lake} is not a folder" in error


def test_a_lake_that_cannot_be_written(
    source: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAME_ANALYTICS_LAKE", "/proc/lake")
    code, _, error = command(source)
    assert code == 1
    assert "the lake /proc/lake cannot be written" in error


@pytest.fixture
def small_disk(lake: Path) -> Iterator[Path]:
    lake.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(lake)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield lake
    subprocess.run(["umount", str(lake)], check=True)


def test_a_full_disk_loses_nothing(
    small_disk: Path, tmp_path: Path, source: Path, command: Command
) -> None:
    big = tmp_path / "big.jsonl"
    big.write_bytes(
        b"\n".join(
            line(number) + b"\n" + hashlib.sha256(b"%d" % number).hexdigest().encode()
            for number in range(20_000)
        )
    )
    assert command(source)[0] == 0
    before = everything(small_disk)
    code, _, error = command(big)
    assert code == 1
    assert "is full: free some space" in error
    assert len(error.splitlines()) == 1
    assert everything(small_disk) == before
    assert list((small_disk / "_landing" / "staging").iterdir()) == []
    other = tmp_path / "c.jsonl"
    other.write_bytes(line(1))
    assert command(other)[0] == 0


def test_a_disk_that_fills_up_after_the_commit(
    lake: Path, source: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if path.suffix == ".parquet":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        code, _, error = command(source, "--arrived-at", ARRIVED)
    assert code == 1
    assert "is full" in error
    assert rows(lake) == []
    assert finish_landings(lake) == 1
    assert len(rows(lake)) == 30
    assert "already landed" in command(source)[1]


def test_ctrl_c_leaves_nothing(
    lake: Path, source: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(staging, "parse_lines", interrupt)
        code, _, error = command(source)
    assert code == 130
    assert "Traceback" not in error
    assert everything(lake) == [[], []]
    assert list((lake / "_landing" / "staging").iterdir()) == []
    assert command(source)[0] == 0


def test_a_lost_line_is_an_error(
    lake: Path, source: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lossy(lines: list[bytes], arrived_at: int) -> Batch:
        batch = parse_lines(lines, arrived_at)
        return Batch(batch.events.slice(1), batch.rejected)

    monkeypatch.setattr(staging, "parse_lines", lossy)
    code, _, error = command(source)
    assert code == 1
    assert "33 lines, but 29 would be landed and 3 rejected" in error
    assert everything(lake) == [[], []]


# Two at once, and processes that end in the middle.


def test_two_landings_at_once(lake: Path, source: Path, command: Command) -> None:
    with LandingZone(lake):
        code, _, error = command(source)
    assert code == 1
    assert "another landing" in error
    assert command(source)[0] == 0


def test_finishing_leaves_a_landing_that_is_under_way_alone(lake: Path) -> None:
    assert finish_landings(lake) == 0
    with LandingZone(lake) as zone:

        def finish() -> None:
            assert finish_landings(lake) == 0
            assert len(list((lake / "_landing" / "staging").iterdir())) == 1

        done = zone.land("a", io.BytesIO(text()), ARRIVED, finish)
    assert done.landed == 30
    assert len(rows(lake)) == 30


KILLED = """
import os, signal, sys
from pathlib import Path
from include.lake.landing import landing

lake, source, call, number, when = sys.argv[1:]
real = getattr(os, call)
calls = 0

def deadly(*arguments, **options):
    global calls
    calls += 1
    if calls == int(number) and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*arguments, **options)
    if calls == int(number) and when == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(os, call, deadly)
landing.land_files(Path(lake), [source], 1_790_000_000)
"""


@pytest.mark.parametrize(
    ("call", "number", "when", "is_committed"),
    [
        ("fsync", 1, "before", False),
        ("fsync", 9, "before", False),
        ("replace", 1, "before", False),
        ("replace", 1, "after", True),
        ("replace", 2, "after", True),
        ("replace", 4, "before", True),
        ("replace", 5, "after", True),
        ("replace", 6, "before", True),
        ("replace", 6, "after", True),
        ("rmdir", 1, "before", True),
    ],
)
def test_kill_9_then_land_again(
    tmp_path: Path, source: Path, call: str, number: int, when: str, is_committed: bool
) -> None:
    undisturbed = tmp_path / "undisturbed"
    land_files(undisturbed, [str(source)], ARRIVED)
    for name, recover in (
        ("by_landing", lambda lake: land_files(lake, [str(source)], ARRIVED)),
        ("by_finishing", finish_landings),
    ):
        lake = tmp_path / name
        child = subprocess.run(
            [sys.executable, "-c", KILLED, lake, source, call, str(number), when],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
            capture_output=True,
            timeout=60,
        )
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()
        recover(lake)
        finished = everything(undisturbed)
        if recover is finish_landings and not is_committed:
            finished = [[], []]
        assert everything(lake) == finished
        for folder in ("staging", "committed"):
            assert list((lake / "_landing" / folder).iterdir()) == []
        land_files(lake, [str(source)], ARRIVED)
        assert everything(lake) == everything(undisturbed)


# Known data.


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not beside the checkout")
@pytest.mark.parametrize("name", ["bad_lines_bytes", "bad_lines_utf8"])
def test_bad_lines(lake: Path, name: str) -> None:
    manifest = json.loads((DATA / f"{name}.manifest.json").read_text())
    (done,) = land_files(lake, [str(DATA / f"{name}.jsonl")], ARRIVED)
    assert done.lines == manifest["lines"] == done.landed + done.rejected
    assert done.landed == manifest["parseable_objects_with_event_key"]
    categories = manifest["line_categories"]
    lines = (DATA / f"{name}.jsonl").read_bytes().split(b"\n")
    rejected = rows(lake, "rejected_events")
    rejected_numbers = {row[3] for row in rejected}
    assert {row[3]: row[1] for row in rejected} == {n: lines[n - 1] for n in rejected_numbers}
    landed = Counter(
        category.split(":")[0]
        for number, category in enumerate(categories, start=1)
        if number not in rejected_numbers
    )
    assert landed == {"good": 1_000, "exact_duplicate": 50, "semantic": 48}
    kept = Counter(row[9] for row in rows(lake))
    sent: Counter[str | None] = Counter()
    for number, one in enumerate(lines[: len(categories)], start=1):
        if number not in rejected_numbers:
            data = json.loads(one)["event"]["event_data"]
            sent[None if data is None else json.dumps(data, sort_keys=True)] += 1
    assert sent == Counter(
        {
            (None if data is None else json.dumps(json.loads(data), sort_keys=True)): count
            for data, count in kept.items()
        }
    )
    files = f"{lake}/raw_events/**/*.parquet"
    invalid = duckdb.execute(
        "select count(*) from read_parquet(?, hive_partitioning = false)"
        " where not json_valid(event_data) or not json_valid(metadata)",
        [files],
    ).fetchone()
    assert invalid == (0,)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not beside the checkout")
def test_the_workshop_lands_whole(lake: Path) -> None:
    reference = json.loads((DATA / "ggap_workshop.ref.json").read_text())
    (done,) = land_files(lake, [str(DATA / "ggap_workshop.jsonl.gz")], ARRIVED)
    assert (done.landed, done.rejected) == (reference["events"], 0)
    types = duckdb.execute(
        "select event_type, count(*), count(*) filter (not json_valid(event_data))"
        " from read_parquet(?, hive_partitioning = false) group by 1",
        [f"{lake}/raw_events/**/*.parquet"],
    ).fetchall()
    assert {name: count for name, count, _ in types} == reference["event_types"]
    assert {invalid for *_, invalid in types} == {0}


def test_an_error_of_the_landing_is_no_user_error(lake: Path, source: Path) -> None:
    """A fault of ours must stay visible as one: only what a user can mend is a UserError."""
    with pytest.raises(ZeroDivisionError), LandingZone(lake) as zone, source.open("rb") as stream:
        zone.land("a", stream, ARRIVED, lambda: 1 // 0)
    with pytest.raises(UserError), LandingZone(lake) as zone:
        zone.land("a", io.BytesIO(b""), ARRIVED)
