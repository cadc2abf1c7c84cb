"""A compaction merges the files of events; what it does when it is stopped has its own tests."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb
import pyarrow.parquet as pq

from include.lake import files
from include.lake.compaction import compact, moves
from include.lake.compaction.compact import compact_source
from include.lake.compaction.folder import FolderStore
from include.lake.compaction.journal import Journal
from include.lake.compaction.moves import check_ended
from include.lake.compaction.store import open_store
from include.lake.landing.landing import land_files
from include.lake.landing.landing_zone import LandingZone
from include.lake.sources import sources
from include.lake.storage.file_lock import file_lock, is_locked
from include.lake.storage.folder import FolderLake
from include.settings import UserError
from tests.support.compactions import (
    DAYS,
    EXPECTED,
    event_rows,
    export,
    manifest,
    write_events,
)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    write_events(tmp_path)
    return tmp_path


def compacted(lake: Path) -> None:
    compact_source(FolderLake(lake), manifest(), "raw_events", None, None)


def test_the_files_of_a_day_become_one_of_the_declared_types(lake: Path) -> None:
    compacted(lake)
    assert event_rows(lake) == EXPECTED
    merged = list((lake / "raw_events").rglob("*.parquet"))
    assert len(merged) == 2
    schema = pq.read_schema(merged[0])
    assert [(field.name, str(field.type)) for field in schema] == [
        ("event_id", "string"),
        ("event_timestamp", "int64"),
        ("note", "string"),
    ]
    before = {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")}
    compacted(lake)
    assert {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")} == before


def test_merged_files_are_kept_below_compacted(lake: Path) -> None:
    before = {path.relative_to(lake): path.read_bytes() for path in lake.rglob("?.parquet")}
    compacted(lake)
    kept = {
        Path(*path.relative_to(lake / "_compacted").parts[1:]): path.read_bytes()
        for path in (lake / "_compacted").rglob("?.parquet")
    }
    assert kept == before
    assert len(kept) == 6


def test_later_files_with_the_names_of_merged_ones_are_merged(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (files, compact):
        # With this limit the merged file is a large one, which is not merged again.
        monkeypatch.setattr(module, "SMALL_BYTES", 100)
    compacted(lake)
    for number in range(2):
        # An int32 makes the file one that must be converted.
        export(lake / DAYS[0] / "b.parquet", [(f"later-{number}", number)], "integer")
        compacted(lake)
    assert event_rows(lake) == sorted([*EXPECTED, ("later-0", 0), ("later-1", 1)])


def test_values_of_other_types_keep_their_meaning(tmp_path: Path) -> None:
    day = tmp_path / DAYS[0]
    day.mkdir(parents=True)
    duckdb.sql(
        "select {'user_id': 'u', 'n': 1.5} as event_id, 2.7::double as event_timestamp"
        " union all by name select null as event_id, -2.5::double as event_timestamp"
    ).write_parquet(str(day / "a.parquet"))
    duckdb.sql("select encode('é') as event_id, 1 as event_timestamp").write_parquet(
        str(day / "b.parquet")
    )
    compacted(tmp_path)
    assert set(event_rows(tmp_path)) == {('{"user_id":"u","n":1.5}', 2), (None, -3), ("é", 1)}


def test_a_file_that_cannot_be_read_is_named_and_nothing_changes(lake: Path) -> None:
    broken = lake / DAYS[0] / "b.parquet"
    broken.write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"b\.parquet is no readable Parquet file"):
        compacted(lake)
    assert broken.exists()
    assert not (lake / "_compacted").exists()


def test_a_value_that_cannot_be_converted_is_named_by_its_file(lake: Path) -> None:
    export(lake / DAYS[0] / "b.parquet", [("x", "no number")], "varchar")
    with pytest.raises(UserError, match=r"b\.parquet, .*cannot be merged \(.*repair or move"):
        compacted(lake)
    assert not (lake / "_compacted").exists()


def test_only_the_requested_days_are_merged(lake: Path) -> None:
    day = date(2026, 9, 2)
    compact_source(FolderLake(lake), manifest(), "raw_events", day, day)
    assert len(list((lake / DAYS[0]).iterdir())) == 3
    assert len(list((lake / DAYS[1]).iterdir())) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("bets", "no source 'bets' to compact: name one of raw_events"),
        ("games", "files of games need no compaction, because each run writes their rows as one"),
        ("game_transactions", "game_transactions need no compaction.*name one of raw_events"),
    ],
)
def test_a_source_without_events_is_refused(lake: Path, source: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compact_source(FolderLake(lake), manifest(), source, None, None)


def test_a_second_compaction_of_the_source_is_refused(lake: Path) -> None:
    path = lake / "_compaction/raw_events.lock"
    path.parent.mkdir()
    with file_lock(path, wait=False):
        with pytest.raises(UserError, match=r"another compaction of raw_events in .* is running"):
            compacted(lake)
        with pytest.raises(UserError, match="a compaction of raw_events is running"):
            check_ended(FolderLake(lake), sources(manifest()))
    assert not (lake / "_compacted").exists()
    compacted(lake)
    check_ended(FolderLake(lake), sources(manifest()))
    assert event_rows(lake) == EXPECTED


def test_a_day_whose_files_are_replaced_again_and_again_stays_as_it_is(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end_merge, number = compact.end_merge, 0

    def replaced(*arguments: object) -> bool:
        nonlocal number
        number += 1
        export(lake / DAYS[0] / "a.parquet", [("new", number)])
        return end_merge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(compact, "end_merge", replaced)
    compact_source(FolderLake(lake), manifest(), "raw_events", date(2026, 9, 1), date(2026, 9, 1))
    assert "files of 2026-09-01 were replaced again and again" in capsys.readouterr().out
    assert event_rows(lake) == sorted([*EXPECTED[1:], ("new", compact.ATTEMPTS)])
    check_ended(FolderLake(lake), sources(manifest()))


def test_the_journal_of_another_version_is_refused() -> None:
    with pytest.raises(UserError, match="written by another version of this package"):
        Journal.from_json(json.dumps({"merged": "a", "moves": {"a": "b"}}).encode())


def test_files_that_were_moved_and_then_removed_do_not_undo_a_merge(lake: Path) -> None:
    """The lifecycle of `_compacted/` may end before a stopped compaction is ended."""
    compacted(lake)
    first = sorted((lake / "_compaction/raw_events").glob("*.json"))[0]
    journal = Journal.from_json(first.read_bytes())
    first.rename(lake / "_compaction/raw_events.json")
    for move in journal.moves:
        (lake / move.target).unlink()
    with pytest.raises(UserError, match="twice: `make compact SOURCE=raw_events` ends it"):
        check_ended(FolderLake(lake), sources(manifest()))
    compacted(lake)
    assert event_rows(lake) == EXPECTED
    assert first.exists()


def test_a_merge_is_not_undone_if_that_would_lose_rows(lake: Path) -> None:
    compacted(lake)
    first = sorted((lake / "_compaction/raw_events").glob("*.json"))[0]
    journal = Journal.from_json(first.read_bytes())
    first.rename(lake / "_compaction/raw_events.json")
    (lake / journal.moves[0].target).unlink()
    export(lake / journal.moves[1].path, [("new", 1)])
    with pytest.raises(UserError, match=r"put it back from a copy or a version of the bucket"):
        compacted(lake)
    assert (lake / journal.merged).exists()


def test_a_move_that_an_export_overtakes_is_put_back(lake: Path) -> None:
    """The file is replaced between the check of its version and its rename."""
    store = open_store(FolderLake(lake))
    path, target = f"{DAYS[0]}/a.parquet", "_compacted/1/a.parquet"
    version = store.version(path)
    assert version
    export(lake / path, [("new", 1)])
    (lake / target).parent.mkdir(parents=True)
    (lake / path).rename(lake / target)
    assert not store.is_moved(path, target, version)
    store.put_back(path, target)
    assert event_rows(lake) == sorted([*EXPECTED[1:], ("new", 1)])
    # A still newer export keeps its place.
    (lake / path).rename(lake / target)
    export(lake / path, [("newer", 2)])
    store.put_back(path, target)
    assert event_rows(lake) == sorted([*EXPECTED[1:], ("newer", 2)])


def test_a_move_is_put_back_without_hard_links(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    store = open_store(FolderLake(lake))
    path, target = f"{DAYS[0]}/a.parquet", "_compacted/1/a.parquet"
    version = store.version(path)
    assert version
    store.move(path, target, version)
    assert store.is_moved(path, target, version)
    store.put_back(path, target)
    assert event_rows(lake) == EXPECTED


@pytest.mark.parametrize("operation", ["write", "move"])
def test_a_full_disk_is_one_sentence_and_loses_nothing(
    lake: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, operation, full)
        with pytest.raises(UserError, match=r"No space left.*run again before the next build"):
            compacted(lake)
    compacted(lake)
    assert event_rows(lake) == EXPECTED


def test_a_landing_decides_nothing_while_files_are_moved(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = lake / "_landing/commit.lock"
    held: list[bool] = []

    def note(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            held.append(is_locked(lock))
            return function(*arguments, **options)

        return noted

    monkeypatch.setattr(compact, "end_merge", note(compact.end_merge))
    monkeypatch.setattr(moves, "_end", note(moves._end))
    monkeypatch.setattr(LandingZone, "_receipt", note(LandingZone._receipt))
    compacted(lake)
    (lake / "_compaction/raw_events").rename(lake / "records")
    sorted((lake / "records").iterdir())[0].rename(lake / "_compaction/raw_events.json")
    compacted(lake)
    source = tmp_path / "events.jsonl"
    source.write_text('{"event": {"event_id": "e"}, "application_id": "a"}')
    land_files(lake, [str(source)])
    # The steps are two merges, the end of a stopped one, and a landing.
    assert held == [True] * 6


def test_a_file_is_read_again_if_it_changes_while_it_is_read(lake: Path) -> None:
    store = open_store(FolderLake(lake))
    path = lake / DAYS[0] / "a.parquet"
    stop = threading.Event()

    def rewrite() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            path.write_bytes(str(number).encode() * 100_000)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        threading.Timer(0.3, stop.set).start()
        found = store.read_version(f"{DAYS[0]}/a.parquet")
    finally:
        stop.set()
        writer.join()
    assert found
    content, version = found
    if store.version(f"{DAYS[0]}/a.parquet") == version:
        assert path.read_bytes() == content


def test_a_landing_after_a_compaction_adds_nothing(tmp_path: Path) -> None:
    source = tmp_path / "events.jsonl"
    lines = [
        json.dumps(
            {
                "event": {"event_id": f"e{n}", "event_timestamp": 1_788_246_655 + n % 2 * 86400},
                "application_id": "a",
            }
        )
        for n in range(20)
    ]
    lake = tmp_path / "lake"
    for part in (lines[:10], lines[10:]):
        source.write_text("\n".join(part))
        land_files(lake, [str(source)])
    expected = event_rows(lake)
    assert len(expected) == 20
    for again in range(3):
        compacted(lake)
        for part in (lines[:10], lines[10:]):
            source.write_text("\n".join(part))
            (landing,) = land_files(lake, [str(source)])
            assert landing.landed_before
        assert event_rows(lake) == expected
        # The merged files are merged again with files that are landed later.
        source.write_text(lines[0].replace("e0", f"later-{again}"))
        land_files(lake, [str(source)])
        expected = event_rows(lake)
        assert len(expected) == 21 + again
    # If somebody removes the merged files, the content is landed again, as without a compaction.
    for path in (lake / "raw_events").rglob("*.parquet"):
        path.unlink()
    source.write_text("\n".join(lines[:10]))
    (landing,) = land_files(lake, [str(source)])
    assert not landing.landed_before
    assert len(event_rows(lake)) == 10


def test_a_landing_that_ends_after_its_files_were_merged_adds_nothing(tmp_path: Path) -> None:
    """The landing was killed when its files were in the lake and its receipt was not written."""
    lake, source = tmp_path / "lake", tmp_path / "events.jsonl"
    for number in range(2):
        event = {"event_id": f"e{number}", "event_timestamp": 1_788_246_655}
        source.write_text(json.dumps({"event": event, "application_id": "a"}))
        (landing,) = land_files(lake, [str(source)])
    expected = event_rows(lake)
    committed = lake / "_landing/committed" / landing.sha256
    committed.mkdir()
    receipt = lake / f"_landing/receipts/{landing.sha256}.json"
    receipt.rename(committed / "receipt.json")
    compacted(lake)
    (again,) = land_files(lake, [str(source)])
    assert again.landed_before
    assert receipt.exists()
    assert event_rows(lake) == expected
