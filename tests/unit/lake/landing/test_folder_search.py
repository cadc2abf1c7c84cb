"""Folders given to the landing: every file is read, passed over by rule, or named as not read."""

from __future__ import annotations

import errno
import gzip
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.landing.folder_search import search_folder
from tests.unit.lake.landing.event_lake import ARRIVED, Command, event_line, rows

FIREHOSE = "game-stream-1-2026-11-28-10-00-00-1ad6f92e"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one event file, whose event is `e0`."""
    path = tmp_path / "in"
    path.mkdir()
    (path / "a.jsonl").write_bytes(event_line(0))
    return path


def found(folder: Path) -> tuple[list[str], dict[str, str]]:
    """The paths of the event files, and the reason of each path that is not read."""
    result = search_folder(folder, folder / "no lake")
    return (
        [str(Path(path).relative_to(folder)) for path in result.files],
        {str(Path(path).relative_to(folder)): reason for path, reason in result.not_read},
    )


@pytest.mark.parametrize(
    "name",
    [
        FIREHOSE,
        f"{FIREHOSE}.gz",
        "my.game-1-2026-11-28-10-00-00-1ad6f92e-83a1-4d5e-b0f7-6a3d1c2e9f00",
        "my.game-1-2026-11-28-10-00-00-1ad6f92e.gz",
        "part-00000",
        "part-00000.gz",
        "b.json",
        "b.json.gz",
        "b.ndjson",
        "b.ndjson.gz",
        "b.JSONL",
        "b.Jsonl.GZ",
        "b c.jsonl",
        'it\'s "*" [1]?{2};$x.jsonl',
        "x y/z/b.jsonl",
        "-.jsonl",
    ],
)
def test_event_files_of_a_folder_are_landed(
    lake: Path, folder: Path, command: Command, name: str
) -> None:
    content = event_line(1) + event_line(2)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    code, out, error = command(folder)
    assert (code, error) == (0, "")
    assert "2 files: 2 lines with 3 records, 3 landed, 0 rejected, 0 already landed;" in out
    assert {row[1] for row in rows(lake)} == {"e0", "e1", "e2"}


def test_a_compressed_firehose_file_without_an_ending_is_landed(
    lake: Path, folder: Path, command: Command
) -> None:
    (folder / FIREHOSE).write_bytes(gzip.compress(event_line(1)))
    (folder / "part-0").write_bytes(gzip.compress(b"\xef\xbb\xbf" + event_line(2)))
    assert command(folder)[0] == 0
    assert {row[1] for row in rows(lake)} == {"e0", "e1", "e2"}


@pytest.mark.parametrize(
    "name",
    [
        "_SUCCESS",
        ".a.jsonl.crc",
        "a.jsonl.crc",
        "a.jsonl~",
        "x.manifest",
        "x.MD5",
        "_x.jsonl",
        ".x.jsonl",
        "_x/b.jsonl",
        ".git/b.jsonl",
    ],
)
def test_files_of_other_programs_are_passed_over(
    lake: Path, folder: Path, command: Command, name: str
) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(event_line(1))
    code, out, error = command(folder)
    assert (code, error) == (0, "")
    assert "1 file: 1 line, 1 landed" in out
    assert len(rows(lake)) == 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("notes.txt", b"a note", "its ending is not that of an event file"),
        ("a.jsonl.bak", event_line(1), "its ending is not that of an event file"),
        ("part-1.parquet", b"PAR1", "it is a Parquet file, and landing reads lines of JSON"),
        ("b.jsonl.zst", b"", "its compression cannot be read, only that of gzip"),
        ("b.ZIP", b"PK", "its compression cannot be read, only that of gzip"),
        ("table.csv", b"a,b", "its ending is not that of an event file"),
        ("LICENSE", b"MIT", "it has no ending and does not begin with `{`"),
        ("EMPTY", b"", "it has no ending and does not begin with `{`"),
        (
            "backup.gz",
            gzip.compress(b"text", mtime=0),
            "it has no ending and does not begin with `{`",
        ),
    ],
)
def test_any_other_file_is_named_and_the_exit_code_is_1(
    lake: Path, folder: Path, command: Command, name: str, content: bytes, reason: str
) -> None:
    (folder / "z").mkdir()
    path = folder / "b" / name
    path.parent.mkdir()
    path.write_bytes(content)
    (folder / "z" / "z.jsonl").write_bytes(event_line(9))
    code, out, error = command(folder)
    assert code == 1
    assert f"{path}: not read, because {reason}" in out.splitlines()
    assert "2 files: 2 lines, 2 landed, 0 rejected, 0 already landed, 1 not read" in out
    assert f"error: 1 file or folder was not read ({path}: {reason}). All other files are" in error
    assert len(error.splitlines()) == 1
    assert len(rows(lake)) == 2


def test_a_long_list_of_files_is_shortened_in_the_error(folder: Path, command: Command) -> None:
    for number in range(12):
        (folder / f"{number}.csv").write_bytes(b"a")
    code, out, error = command(folder)
    assert code == 1
    assert out.count("not read, because") == 12
    assert "12 not read;" in out
    assert error.startswith("error: 12 files or folders were not read (")
    assert error.count(".csv") == 5
    assert "; and 7 more). All other files are landed." in error


def test_a_folder_without_event_files_names_the_others(tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(b"PAR1")
    code, _, error = command(folder)
    assert code == 1
    assert f"{folder} has no event files: put *.jsonl, *.ndjson, *.json files there" in error
    assert "1 file or folder was not read" in error
    assert "a.parquet: it is a Parquet file" in error


def test_links_pipes_and_sockets_are_named(
    lake: Path, folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "dangling.jsonl").symlink_to(folder / "gone")
    (folder / "itself.jsonl").symlink_to(folder / "itself.jsonl")
    os.mkfifo(folder / "pipe.jsonl")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as one:
        # The path of a socket must be short.
        one.bind("socket.jsonl")
        assert found(folder) == (
            ["a.jsonl"],
            {
                "dangling.jsonl": "it is a link to a file that does not exist",
                "itself.jsonl": "it is a link that leads back to itself",
                "pipe.jsonl": "it is a named pipe",
                "socket.jsonl": "it is a socket or a device",
            },
        )
        code, _, error = command(folder)
    assert (code, len(error.splitlines())) == (1, 1)
    assert "4 files or folders were not read" in error
    assert len(rows(lake)) == 1


def test_links_are_followed_and_each_folder_is_searched_once(tmp_path: Path, folder: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.jsonl").write_bytes(event_line(1))
    (elsewhere / "back").symlink_to(folder)
    (folder / "link.jsonl").symlink_to(elsewhere / "b.jsonl")
    (folder / "0 link").symlink_to(elsewhere)
    (folder / "again").symlink_to(elsewhere)
    (folder / "sub").mkdir()
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "0 to sub").symlink_to(folder / "sub")
    (folder / "sub" / "c.jsonl").write_bytes(event_line(2))
    (folder / "round").symlink_to("round")
    files, not_read = found(folder)
    assert files == ["a.jsonl", "again/b.jsonl", "link.jsonl", "sub/c.jsonl"]
    assert not_read == {"round": "it is a link that leads back to itself"}


def test_the_lake_in_a_folder_is_passed_over(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAME_ANALYTICS_LAKE", str(folder / "lake"))
    assert command(folder)[0] == 0
    code, out, _ = command(folder)
    assert code == 0
    assert "1 file: 0 lines, 0 landed, 0 rejected, 1 already landed" in out


@pytest.mark.parametrize(
    ("number", "text"), [(errno.EACCES, "Permission denied"), (errno.ENOENT, "No such file")]
)
def test_a_folder_that_cannot_be_listed_is_named(
    lake: Path,
    folder: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    text: str,
) -> None:
    closed = folder / "closed"
    closed.mkdir()
    scandir = os.scandir

    def refuse(path: Any) -> Iterator[os.DirEntry[str]]:
        if str(path) == str(closed):
            raise OSError(number, os.strerror(number), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    code, _, error = command(folder)
    assert (code, len(error.splitlines())) == (1, 1)
    assert f"({closed}: it cannot be listed: {text}" in error
    assert len(rows(lake)) == 1
    code, _, error = command(closed)
    assert (code, len(error.splitlines())) == (1, 1)
    assert str(closed) in error


def test_a_file_that_disappears_stops_the_landing_with_one_sentence(
    lake: Path, folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = folder / "b.jsonl"
    gone.write_bytes(event_line(1))
    opened = Path.open

    def remove(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == gone:
            path.unlink()
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", remove)
    code, _, error = command(folder)
    assert (code, len(error.splitlines())) == (1, 1)
    assert f"{gone} cannot be read, because it does not exist" in error
    assert f"These files were landed before it: {folder / 'a.jsonl'}." in error
    assert len(rows(lake)) == 1


def test_a_name_with_odd_characters_is_one_line(lake: Path, folder: Path, command: Command) -> None:
    odd = folder / "a\nb\x1b[0m.csv"
    odd.write_bytes(b"a")
    raw = os.path.join(os.fsencode(folder), b"\xff.jsonl")  # noqa: PTH118
    Path(os.fsdecode(raw)).write_bytes(event_line(1))
    code, out, error = command(folder, "--arrived-at", ARRIVED)
    assert (code, len(error.splitlines())) == (1, 1)
    assert "a\ufffdb\ufffd[0m.csv: its ending" in error
    assert len(out.splitlines()) == 4
    assert len(rows(lake)) == 2
