"""Moves merged files away, or undoes their merge, so that a row is never lost.

From the moment when the merged file is in the lake until the files with its rows are moved, these
rows are in the lake twice. The journal is there all that time, and no run builds.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from include.lake.compaction.journal import (
    Journal,
    Move,
    counter_path,
    journal_path,
    lock_path,
)
from include.lake.compaction.store import Store, open_store
from include.lake.sources import Source
from include.lake.storage.lake import THREADS, Lake
from include.settings import UserError


def is_compactable(source: Source) -> bool:
    """Whether a source has files of events, which landing and AWS's pipeline write as Parquet."""
    return len(source.partition_columns) == 3


def check_ended(lake: Lake, declared: Iterable[Source]) -> None:
    """Raise UserError if a compaction is running, or if one was stopped while it moved files."""
    store = open_store(lake)
    for source in filter(is_compactable, declared):
        if holder := store.holder(lock_path(source.name)):
            raise UserError(
                f"a compaction of {source.name} is running ({holder}), and some rows may be in the "
                "lake twice: run again when it has ended. If it was killed in S3, its lock ends "
                "within 20 minutes."
            )
        if not store.exists(journal_path(source.name)):
            continue
        journal = Journal.from_json(store.read(journal_path(source.name)))
        if store.exists(journal.merged) or not all(store.exists(m.path) for m in journal.moves):
            raise UserError(
                f"the compaction of {source.name} was stopped, and some rows may be in the lake "
                f"twice: `make compact SOURCE={source.name}` ends it."
            )


def merge_count(lake: Lake, declared: Iterable[Source]) -> int:
    """The number of merges that were begun in the lake so far.

    A build during which it grows may have read a row twice, so no such build is recorded.
    """
    store = open_store(lake)
    return sum(
        _count(store, counter_path(source.name)) for source in declared if is_compactable(source)
    )


def count_merge(store: Store, source: str) -> None:
    """Count a merge that is about to begin. The caller holds the lock."""
    path = counter_path(source)
    store.write(path, str(_count(store, path) + 1).encode())


def _count(store: Store, path: str) -> int:
    return int(store.read(path)) if store.exists(path) else 0


def end_merge(store: Store, journal: Journal) -> bool:
    """Move the files of a journal whose merged file was just written; returns whether it holds.

    If a file was replaced or removed since it was read, the merge is undone instead.
    """
    return _end(store, journal, was_stopped=False)


def end_stopped_merge(store: Store, source: str) -> None:
    """End or undo the merge that a stopped compaction left behind. The caller holds the lock."""
    if store.exists(journal_path(source)):
        with store.landing_waits():
            journal = Journal.from_json(store.read(journal_path(source)))
            _end(store, journal, was_stopped=True)


def _end(store: Store, journal: Journal, *, was_stopped: bool) -> bool:
    if not store.exists(journal.merged):
        # It was not written yet, or the merge was undone: then all files have their places again.
        _undo(store, journal)
        return False
    each = _Each(store, journal.moves)
    each.move()
    left = each.not_moved()
    gone = [move for move in left if not _is_anywhere(store, move)]
    if was_stopped and len(gone) == len(left):
        # Files that were moved may have been removed below `_compacted/` since then.
        left = []
    elif was_stopped and gone:
        raise UserError(
            f"{gone[0].path} was merged into {journal.merged} and is not at {gone[0].target}, but "
            "its rows must be merged again because another file of this merge was replaced: put "
            "it back from a copy or a version of the bucket, and run again."
        )
    if left:
        print(f"{left[0].path} was replaced or removed while it was merged: its merge is undone")
        _undo(store, journal)
        return False
    store.make_durable([path for move in journal.moves for path in (move.path, move.target)])
    store.write(journal.record, journal.to_json())
    store.remove(journal_path(journal.source))
    return True


def _undo(store: Store, journal: Journal) -> None:
    """Give all files their places again, then move the merged file below `_compacted/`.

    A stopped undoing can be done again: while the merged file is in the lake, no run builds.
    """
    _Each(store, journal.moves).put_back()
    store.make_durable([path for move in journal.moves for path in (move.path, move.target)])
    if version := store.version(journal.merged):
        store.remove(journal.undone)
        store.move(journal.merged, journal.undone, version)
        store.make_durable([journal.merged, journal.undone])
        if store.exists(journal.merged):
            raise UserError(
                f"{journal.merged} was written by another process while its merge was undone, and "
                "rows are in the lake twice: move it out of the lake, and run again."
            )
    # A killed process may have left a part of it under a hidden name.
    store.remove(journal.merged)
    store.remove(journal.record)
    store.remove(journal_path(journal.source))


def _is_anywhere(store: Store, move: Move) -> bool:
    return store.exists(move.path) or store.exists(move.target)


class _Each:
    """Does something with each file of a journal, several at a time."""

    def __init__(self, store: Store, moves: tuple[Move, ...]) -> None:
        self._store = store
        self._moves = moves

    def move(self) -> None:
        """Move the files that have not changed."""
        with ThreadPoolExecutor(THREADS) as pool:
            # Iterating raises the error of the first failed move. The journal stays then.
            for _ in pool.map(
                lambda move: self._store.move(move.path, move.target, move.version), self._moves
            ):
                pass

    def not_moved(self) -> list[Move]:
        """The files that are not moved because they have changed."""
        with ThreadPoolExecutor(THREADS) as pool:
            moved = pool.map(
                lambda move: self._store.is_moved(move.path, move.target, move.version),
                self._moves,
            )
            return [move for move, is_moved in zip(self._moves, moved, strict=True) if not is_moved]

    def put_back(self) -> None:
        """Undo the moves, except of files that have been written again since then."""
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(
                lambda move: self._store.put_back(move.path, move.target), self._moves
            ):
                pass
