"""`ledger_rows/` has one file per partition with raw files, whatever stops a run half-way."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="runs in dbt's environment")

import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.ledger_rows import refresh
from include.lake.ledger_rows.refresh import refresh_rows
from include.lake.ledger_rows.rows import RawFile, RowCounts
from include.lake.ledger_rows.write import write_rows
from include.lake.listing import list_lake
from include.lake.sources import ROW_COLUMNS, Source
from include.lake.storage.folder import FolderLake
from include.settings import UserError

TEXT = "varchar(1024)"
BETS = Source(
    "s.bets",
    "game_transactions",
    ("date",),
    {"betid": TEXT, "amount": TEXT} | ROW_COLUMNS | {"date": TEXT},
)
GAMES = Source(
    "s.games", "games", (), {"id": TEXT, "name": TEXT} | ROW_COLUMNS, frozenset({"name"})
)
EVENTS = Source("s.events", "raw_events", ("year", "month", "day"), {})
SOURCES = [BETS, EVENTS, GAMES]
DAY = "game_transactions/date=2026-09-0"


class StoppedError(Exception):
    """Stops a run in the middle."""


class Stopping(FolderLake):
    """A lake that raises an error after so many removals and uploads."""

    left = 100

    def _step(self) -> None:
        if not self.left:
            raise StoppedError
        self.left -= 1

    def remove(self, path: str) -> None:
        self._step()
        super().remove(path)

    def upload(self, local: Path, path: str) -> None:
        self._step()
        super().upload(local, path)


def write(lake: Path, name: str, content: str | bytes) -> Path:
    path = lake / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def run(lake: FolderLake | Path, since: date | None = None, prefix: str = "") -> list[str]:
    opened = FolderLake(lake) if isinstance(lake, Path) else lake
    return refresh_rows(opened, SOURCES, list_lake(opened, SOURCES, since), since, prefix)


def stored(lake: Path) -> list[str]:
    """The files below `ledger_rows/`."""
    return sorted(str(path.relative_to(lake)) for path in (lake / "ledger_rows").rglob("*.parquet"))


def rows(lake: Path, folder: str = "games") -> list[tuple[object, ...]]:
    (file,) = (lake / "ledger_rows" / folder).glob("*.parquet")
    return [tuple(row.values()) for row in pq.read_table(file, partitioning=None).to_pylist()]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake with two days of bets and a file of games."""
    for day in (1, 2):
        write(tmp_path, f"{DAY}{day}/a.csv", f"betid,amount\nb{day},5\n")
    write(tmp_path, "games/g.csv", "id,name\ng1,One\n")
    return tmp_path


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the raw files that are parsed."""
    names: list[str] = []

    def recording(inputs: Sequence[RawFile], *rest: Any) -> RowCounts:
        names.extend(file.name for file in inputs)
        return write_rows(inputs, *rest)

    monkeypatch.setattr(refresh, "write_rows", recording)
    yield names


def test_files_of_every_format_are_rows_of_one_file(tmp_path: Path) -> None:
    write(tmp_path, "games/a.csv", "name;ID;more\nOne;g1;x\n")
    write(tmp_path, "games/b.TSV", "id\tname\ng2\t\n")
    write(tmp_path, "games/c.Jsonl.GZ", gzip.compress(b'{"Id": 3, "NAME": "Three"}\n'))
    pq.write_table(pa.table({"ID": [4]}), write(tmp_path, "games/deep/d.parquet", ""))
    assert run(tmp_path) == ["games: parsed 4 rows of 4 files"]
    assert rows(tmp_path) == [
        ("g1", "One", "games/a.csv", 2, None, None),
        ("g2", None, "games/b.TSV", 2, None, None),
        ("3", "Three", "games/c.Jsonl.GZ", 1, None, None),
        ("4", None, "games/deep/d.parquet", 1, None, None),
    ]


def test_a_partition_is_parsed_once(lake: Path, parsed: list[str]) -> None:
    run(lake)
    assert sorted(parsed) == [f"{DAY}1/a.csv", f"{DAY}2/a.csv", "games/g.csv"]
    before = stored(lake)
    assert len(before) == 3
    parsed.clear()
    assert run(lake) == []
    assert (parsed, stored(lake)) == ([], before)


@pytest.mark.parametrize("change", ["older", "name", "more"])
def test_a_changed_partition_is_parsed_again(lake: Path, parsed: list[str], change: str) -> None:
    """A corrected file may have the same size and an older time."""
    run(lake)
    parsed.clear()
    file = lake / f"{DAY}2/a.csv"
    if change == "older":
        file.write_text("betid,amount\nb2,6\n")
        os.utime(file, (1_700_000_000, 1_700_000_000))
    elif change == "name":
        file.rename(file.with_name("b.csv"))
    else:
        write(lake, f"{DAY}2/b.csv", "betid,amount\nb3,1\n")
    run(lake)
    assert {name.rsplit("/", 1)[0] for name in parsed} == {f"{DAY}2"}
    assert len(stored(lake)) == 3


def test_other_declared_columns_parse_all_files_again(lake: Path, parsed: list[str]) -> None:
    run(lake)
    parsed.clear()
    wider = replace(
        GAMES, columns={**GAMES.columns, "studio": TEXT}, optional=frozenset({"name", "studio"})
    )
    folder = FolderLake(lake)
    refresh_rows(folder, [wider], list_lake(folder, [wider], None), None)
    assert parsed == ["games/g.csv"]


def test_a_partition_whose_files_are_gone_loses_its_rows(lake: Path) -> None:
    run(lake)
    (lake / f"{DAY}1/a.csv").unlink()
    (lake / "games/g.csv").unlink()
    run(lake)
    (left,) = stored(lake)
    assert left.startswith("ledger_rows/game_transactions/date=2026-09-02/")


def test_rows_of_days_before_the_bound_stay(lake: Path, parsed: list[str]) -> None:
    run(lake)
    before = stored(lake)
    parsed.clear()
    (lake / f"{DAY}1/a.csv").unlink()
    run(lake, since=date(2026, 9, 2))
    assert (parsed, stored(lake)) == ([], before)


def test_a_source_that_was_never_parsed_gets_the_days_before_the_bound_too(lake: Path) -> None:
    run(lake, since=date(2026, 9, 2))
    assert len(stored(lake)) == 3


def test_a_refused_file_changes_nothing(lake: Path) -> None:
    run(lake)
    before = stored(lake)
    write(lake, f"{DAY}2/a.csv", "betid,amount\nb2,7\n")
    write(lake, "games/h.csv", "title\nOne\n")
    with pytest.raises(UserError, match=r"games/h\.csv.*id"):
        run(lake)
    assert stored(lake) == before


@pytest.mark.parametrize("steps", range(6))
def test_a_run_that_stops_anywhere_is_mended_by_the_next(lake: Path, steps: int) -> None:
    """A partition never has two files, because their rows would count twice."""
    run(lake)
    for name in (f"{DAY}1/a.csv", f"{DAY}2/a.csv"):
        write(lake, name, "betid,amount\nnew,1\n")
    write(lake, "games/g.csv", "id,name\nnew,1\n")
    stopping = Stopping(lake)
    stopping.left = steps
    with pytest.raises(StoppedError):
        run(stopping)
    folders = [path.rsplit("/", 1)[0] for path in stored(lake)]
    assert len(set(folders)) == len(folders)
    run(lake)
    assert len(stored(lake)) == 3
    assert rows(lake)[0][0] == "new"
    for day in (1, 2):
        assert rows(lake, f"{DAY}{day}")[0][0] == "new"


def test_bad_rows_are_counted_and_their_files_named(lake: Path) -> None:
    write(lake, f"{DAY}2/a.csv", "betid,amount\nb2,6\nb3\nb4\n")
    assert run(lake) == [
        "game_transactions: parsed 4 rows of 2 files, of which 2 cannot be read and are listed in "
        f"fct_quarantined_rows: {DAY}2/a.csv",
        "games: parsed 1 row of 1 file",
    ]


def test_each_schema_prefix_has_its_own_rows(lake: Path) -> None:
    run(lake)
    run(lake, prefix="ann_")
    before = stored(lake)
    assert len(before) == 6
    (lake / "games/g.csv").unlink()
    run(lake, prefix="ann_")
    assert len(stored(lake)) == 5
    assert rows(lake)


def test_a_file_that_no_run_has_written_is_refused(lake: Path) -> None:
    run(lake)
    write(lake, "ledger_rows/games/games.csv", "id\ng1\n")
    with pytest.raises(UserError, match=r"ledger_rows/games/games\.csv was not written by a run"):
        run(lake)


def test_names_may_look_like_patterns(tmp_path: Path) -> None:
    for number, name in enumerate(("a*", "ab", "a?", "a[b]", "a b'")):
        write(tmp_path, f"games/{name}.csv", f"id\ng{number}\n")
    run(tmp_path)
    assert sorted(str(row[0]) for row in rows(tmp_path)) == ["g0", "g1", "g2", "g3", "g4"]


def test_a_lake_that_cannot_be_written_is_one_sentence(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The refusal is simulated, because root may write everywhere.
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FolderLake, "upload", refuse)
    with pytest.raises(
        UserError, match=r"ledger_rows cannot be written \(Permission denied\): let"
    ):
        run(lake)


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_file_that_is_replaced_while_it_is_read_changes_nothing(
    lake: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    run(lake)
    before = stored(lake)
    file = write(lake, "games/g.csv", "id,name\ng2,Two\n")
    os.utime(file, ns=(1, 1))

    def replacing(inputs: Sequence[RawFile], *rest: Any) -> RowCounts:
        counts = write_rows(inputs, *rest)
        file.write_text(f"id,name\ng3,Two{'x' * (change == 'size')}\n")
        os.utime(file, ns=(1, 1 if change == "size" else 2))
        return counts

    monkeypatch.setattr(refresh, "write_rows", replacing)
    with pytest.raises(UserError, match=r"^games/g\.csv was replaced while it was read: run again"):
        run(lake)
    assert stored(lake) == before
    monkeypatch.undo()
    run(lake)
    assert rows(lake)[0][0] == "g3"


def test_a_file_that_cannot_be_read_is_named(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(inputs: Sequence[RawFile], *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(inputs[0].path))

    monkeypatch.setattr(refresh, "write_rows", refuse)
    with pytest.raises(UserError, match=r"a\.csv cannot be read \(Permission denied\): give this"):
        run(lake)


def test_all_refused_files_are_in_one_error(lake: Path) -> None:
    run(lake)
    before = stored(lake)
    for number in range(4):
        write(lake, f"games/{number}.csv", "id,name\n1\n" if number else "name\nOne\n")
    for day in (4, 5, 6):
        write(lake, f"{DAY}{day}/a.csv", "betid\nb\n")
    with pytest.raises(UserError) as raised:
        run(lake)
    message = str(raised.value)
    assert message.startswith(f"7 files are refused: {DAY}4/a.csv, line 1: the header lacks")
    for name in (f"{DAY}5/a.csv", f"{DAY}6/a.csv", "games/0.csv", "games/1.csv"):
        assert f". {name}, line " in message
    assert message.endswith(" 2 more files are refused.")
    assert stored(lake) == before


def test_a_refused_file_alone_is_the_whole_error(lake: Path) -> None:
    write(lake, "games/a.csv", "name\nOne\n")
    with pytest.raises(UserError, match=r"^games/a\.csv, line 1: .* in the YAML of the source\.$"):
        run(lake)
