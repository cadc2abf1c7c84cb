"""The listing of the lake: the partitions of each source, and the files that are refused."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from include.lake.listing import list_lake
from include.lake.sources import Source
from include.lake.storage.folder import FolderLake
from include.settings import UserError

EVENTS = Source("source.p.e.raw_events", "raw_events", ("year", "month", "day"), {})
BETS = Source("source.p.l.game_transactions", "game_transactions", ("date",), {})
GAMES = Source("source.p.l.games", "games", (), {})
SOURCES = [EVENTS, BETS, GAMES]


def write(path: Path, content: str = "x", changed: int = 1_780_000_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (changed, changed))


def days(lake: Path, since: date | None = None) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (partition.source, partition.day): (partition.object_count, partition.byte_count)
        for partition in list_lake(FolderLake(lake), SOURCES, since).partitions
    }


def test_each_kind_of_source_has_its_partitions(tmp_path: Path) -> None:
    write(tmp_path / "raw_events/year=2026/month=09/day=01/a.parquet", "12345")
    write(tmp_path / "raw_events/year=2026/month=09/day=01/b.parquet", "1")
    write(tmp_path / "game_transactions/date=2026-09-02/a.csv", "12")
    write(tmp_path / "games/deep/down/g.jsonl.gz", "123")
    assert days(tmp_path) == {
        ("raw_events", "2026-09-01"): (2, 6),
        ("game_transactions", "2026-09-02"): (1, 2),
        ("games", ""): (1, 3),
    }


def test_a_partition_has_the_time_of_its_newest_file(tmp_path: Path) -> None:
    write(tmp_path / "games/a.csv", changed=1_780_000_000)
    write(tmp_path / "games/b.csv", changed=1_790_000_000)
    (games,) = list_lake(FolderLake(tmp_path), SOURCES, None).partitions
    assert games.changed_at == datetime.fromtimestamp(1_790_000_000, UTC).replace(tzinfo=None)


def test_hidden_files_are_left_out(tmp_path: Path) -> None:
    for name in ("_SUCCESS", ".a.parquet", "_tmp/a.parquet"):
        write(tmp_path / "raw_events/year=2026/month=09/day=01" / name)
    write(tmp_path / "games/.DS_Store")
    write(tmp_path / "_landing/x/raw_events/a.parquet")
    assert days(tmp_path) == {}


ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")


@pytest.mark.parametrize(
    "ending",
    [".parquet", ".PARQUET", ".CSV", ".Json.GZ", *ENDINGS, *(f"{one}.gz" for one in ENDINGS)],
)
def test_an_ending_may_be_in_any_letter_case(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"games/a{ending}")
    assert days(tmp_path) == {("games", ""): (1, 1)}


@pytest.mark.parametrize(
    "name",
    [
        "games/games.csv.bak",
        "games/README.txt",
        "games/games.csv.zst",
        "games/20261120_0001_part_00",
        "games/games.csv~",
        "games/#games.csv#",
        "games/parquet",
        "games/a.parquet.gz",
        "game_transactions/date=2026-09-01/a.xlsx",
        "raw_events/year=2026/month=09/day=01/notes.txt",
        # Events are read from Parquet files only.
        "raw_events/year=2026/month=09/day=01/a.csv",
    ],
)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    with pytest.raises(UserError) as caught:
        list_lake(FolderLake(tmp_path), SOURCES, None)
    assert str(caught.value).startswith(f"{name} is no data file")
    assert "move it out of the lake" in str(caught.value)


def test_an_event_file_that_spectrum_passes_over_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "raw_events/year=2026/month=09/day=01/#a.parquet")
    with pytest.raises(UserError, match=r"#a\.parquet has a name that begins with #.*rename it"):
        list_lake(FolderLake(tmp_path), SOURCES, None)


def test_a_raw_file_of_0_bytes_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "games/a.csv", "")
    with pytest.raises(UserError, match=r"^games/a\.csv has 0 bytes.*write it again or remove it"):
        list_lake(FolderLake(tmp_path), SOURCES, None)


def test_a_link_to_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "games").mkdir()
    (tmp_path / "games/a.csv").symlink_to(tmp_path / "missing.csv")
    with pytest.raises(UserError, match=r"games/a\.csv cannot be read .*repair or remove it"):
        list_lake(FolderLake(tmp_path), SOURCES, None)


def test_a_bound_leaves_out_earlier_days_but_no_source_without_partitions(tmp_path: Path) -> None:
    write(tmp_path / "game_transactions/date=2026-09-01/a.csv")
    write(tmp_path / "game_transactions/date=2026-09-02/a.csv")
    write(tmp_path / "games/g.csv")
    found = days(tmp_path, since=date(2026, 9, 2))
    assert set(found) == {("game_transactions", "2026-09-02"), ("games", "")}


@pytest.mark.parametrize(
    "name",
    [
        "raw_events/a.parquet",
        "raw_events/year=2026/month=09/a.parquet",
        "raw_events/year=2026/month=02/day=30/a.parquet",
        "raw_events/year=2026/month=09/day=01/more/a.parquet",
        "game_transactions/date=yesterday/a.csv",
        "game_transactions/date=__HIVE_DEFAULT_PARTITION__/a.csv",
    ],
)
def test_a_file_outside_the_partitions_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    with pytest.raises(UserError) as caught:
        list_lake(FolderLake(tmp_path), SOURCES, None)
    assert name in str(caught.value)
    assert "move or remove it" in str(caught.value)


def test_an_empty_or_missing_lake_has_no_partitions(tmp_path: Path) -> None:
    assert list_lake(FolderLake(tmp_path), SOURCES, None).partitions == []
    assert list_lake(FolderLake(tmp_path / "missing"), SOURCES, None).partitions == []


def test_a_lake_that_is_a_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "lake")
    with pytest.raises(UserError, match=r"is a file: set GAME_ANALYTICS_LAKE"):
        list_lake(FolderLake(tmp_path / "lake"), SOURCES, None)


def test_a_folder_that_may_not_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The refusal is simulated, because root may list every folder.
    (tmp_path / "raw_events").mkdir()

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"raw_events cannot be listed \(Permission denied\)"):
        list_lake(FolderLake(tmp_path), SOURCES, None)


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "games"
    folder.mkdir()
    for name, is_folder in ((b"\xff.csv", False), (b"\xe9", True)):
        path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118
        os.mkdir(path) if is_folder else os.close(os.open(path, os.O_CREAT))  # noqa: PTH102
        shown = name.decode("utf-8", "backslashreplace").replace("\\", r"\\")
        with pytest.raises(
            UserError, match=rf"/games/{shown} has a name that is not UTF-8"
        ) as found:
            list_lake(FolderLake(tmp_path), SOURCES, None)
        str(found.value).encode()
        os.rmdir(path) if is_folder else os.remove(path)  # noqa: PTH106, PTH107


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("loop", "is a link that leads back to itself: remove it"),
        (".", "is a link that leads back to a folder around it: remove it"),
        ("../..", "is a link that leads back to a folder around it: remove it"),
        ("../../games/deep", "is a link that leads back to a folder around it: remove it"),
    ],
)
def test_a_link_that_leads_back_is_refused(tmp_path: Path, target: str, message: str) -> None:
    write(tmp_path / "games/deep/a.csv")
    (tmp_path / "games/deep/loop").symlink_to(target)
    with pytest.raises(UserError, match=f"/games/deep/loop {message}"):
        list_lake(FolderLake(tmp_path), SOURCES, None)


def test_a_link_to_another_folder_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/a.csv", "12")
    (tmp_path / "games").mkdir()
    for name in ("one", "two"):
        (tmp_path / "games" / name).symlink_to("../elsewhere")
    assert days(tmp_path) == {("games", ""): (2, 4)}
