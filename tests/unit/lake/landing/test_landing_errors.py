"""Errors of the landing: bad files, a lake that cannot be written, and a full disk.

Each is one sentence with exit code 1, and nothing of the file is landed.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.landing import event_files, records
from include.lake.landing.envelope import Batch, parse_lines
from include.lake.landing.landing_zone import LandingZone
from include.settings import UserError
from tests.unit.lake.landing.event_lake import (
    ARRIVED,
    Command,
    all_rows,
    event_line,
    event_text,
    rows,
)


def _bad_file(folder: Path, kind: str) -> Path:
    whole = gzip.compress(event_text(2_000))
    contents: dict[str, bytes] = {
        "empty.jsonl": b"",
        "empty.jsonl.gz": gzip.compress(b""),
        "truncated.jsonl.gz": whole[:-200],
        "no_end.jsonl.gz": whole[:-4],
        "corrupt.jsonl.gz": whole[:2_000] + b"\xff" * 50 + whole[2_050:],
        "checksum.jsonl.gz": whole[:-8] + b"\0\0\0\0" + whole[-4:],
        "plain.jsonl.gz": event_text(),
        "zero_bytes.jsonl.gz": b"",
        "table.jsonl": b"PAR1" + bytes(100) + b"PAR1",
        "twice.jsonl.gz": gzip.compress(whole),
        "packed.jsonl": b"PK\x03\x04" + bytes(100),
        "packed": b"\x28\xb5\x2f\xfd" + bytes(100),
        "wide.jsonl": event_text().decode().encode("utf-16"),
        "wide_without_mark.jsonl": event_text().decode().encode("utf-16-be"),
        "mark.jsonl": b"\xef\xbb\xbf",
        "garbage.jsonl.gz": whole + b"garbage",
        "half_member.jsonl.gz": whole + whole[:100],
    }
    path = folder / kind
    if kind in contents:
        path.write_bytes(contents[kind])
    elif kind == "folder":
        path.mkdir()
        (path / "notes.txt").write_text("a note")
    elif kind == "dangling.jsonl":
        path.symlink_to(folder / "gone")
    elif kind == "loop.jsonl":
        path.symlink_to(path)
    elif kind == "long.jsonl":
        return folder / ("long" * 100)
    elif kind == "unreadable.jsonl":
        # Reading this file at offset 0 fails for every user, root included.
        path.symlink_to("/proc/self/mem")
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing.jsonl", "does not exist"),
        ("dangling.jsonl", "the file to which it is a link does not exist"),
        ("loop.jsonl", "cannot be read"),
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
        ("folder", "has no event files"),
        ("table.jsonl", "is a Parquet file, and landing reads lines of JSON"),
        ("twice.jsonl.gz", "is compressed with gzip twice"),
        ("packed.jsonl", "is a zip file: unzip it"),
        ("packed", "is compressed with zstd"),
        ("wide.jsonl", "is text in UTF-16"),
        ("wide_without_mark.jsonl", "is text in UTF-16"),
        ("mark.jsonl", "is empty"),
        ("garbage.jsonl.gz", "damaged or incomplete gzip"),
        ("half_member.jsonl.gz", "damaged or incomplete gzip"),
    ],
)
def test_a_bad_file_is_named_and_the_files_before_it_stay(
    lake: Path, source: Path, tmp_path: Path, command: Command, kind: str, message: str
) -> None:
    bad = _bad_file(tmp_path, kind)
    other = tmp_path / "b.jsonl"
    other.write_bytes(event_line(1))
    code, out, error = command(source, other, bad, "--arrived-at", ARRIVED)
    assert code == 1
    assert message in error
    assert str(bad) in error
    assert f"These files were landed before it: {source}, {other}." in error
    assert len(error.splitlines()) == 1
    assert f"{source}: 33 lines" in out
    assert len(rows(lake)) == 31
    assert list((lake / "_landing" / "staging").iterdir()) == []


def test_a_file_without_permission_is_a_user_error(
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


def test_a_line_that_is_too_long_is_a_user_error(
    lake: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "LONGEST_LINE", 5_000)
    monkeypatch.setattr(event_files, "BLOCK_BYTES", 1_000)
    source = tmp_path / "image.jsonl"
    source.write_bytes(event_line(1) + b"\n" + b"x" * 20_000)
    code, _, error = command(source)
    assert code == 1
    assert "has a line of more than" in error
    assert rows(lake) == []


def test_a_lake_that_is_a_file_is_a_user_error(lake: Path, source: Path, command: Command) -> None:
    lake.write_text("a file")
    code, _, error = command(source)
    assert code == 1
    assert f"the lake {lake} is not a folder" in error


def test_a_lake_that_cannot_be_written_is_a_user_error(
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
        pytest.skip("only root can mount a small disk")
    yield lake
    subprocess.run(["umount", str(lake)], check=True)


def test_a_full_disk_loses_nothing(
    small_disk: Path, tmp_path: Path, source: Path, command: Command
) -> None:
    big = tmp_path / "big.jsonl"
    big.write_bytes(
        b"\n".join(
            event_line(number) + b"\n" + hashlib.sha256(b"%d" % number).hexdigest().encode()
            for number in range(20_000)
        )
    )
    assert command(source)[0] == 0
    before = all_rows(small_disk)
    code, _, error = command(big)
    assert code == 1
    assert "is full: free some space" in error
    assert len(error.splitlines()) == 1
    assert all_rows(small_disk) == before
    assert list((small_disk / "_landing" / "staging").iterdir()) == []
    other = tmp_path / "c.jsonl"
    other.write_bytes(event_line(1))
    assert command(other)[0] == 0


def test_a_wrong_count_of_lines_is_an_error(
    lake: Path, source: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lossy(lines: list[bytes], arrived_at: int) -> Batch:
        batch = parse_lines(lines, arrived_at)
        return Batch(batch.events.slice(1), batch.rejected)

    monkeypatch.setattr(records, "parse_lines", lossy)
    code, _, error = command(source)
    assert code == 1
    assert "33 records, but 29 would be landed and 3 rejected" in error
    assert all_rows(lake) == [[], []]


def test_a_bug_of_the_landing_is_not_a_user_error(lake: Path, source: Path) -> None:
    """A bug keeps its traceback: only an error that the user can repair is a UserError."""
    with pytest.raises(ZeroDivisionError), LandingZone(lake) as zone, source.open("rb") as stream:
        zone.land("a", stream, ARRIVED, lambda: 1 // 0)
    with pytest.raises(UserError), LandingZone(lake) as zone:
        zone.land("a", io.BytesIO(b""), ARRIVED)
