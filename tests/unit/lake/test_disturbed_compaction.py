"""However a compaction stops, and whatever happens meanwhile, no row is lost and none is twice."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.lake.compaction.compact import compact_source
from include.lake.compaction.moves import check_ended
from include.lake.external_tables.duckdb import create_views
from include.lake.landing.landing import land_files
from include.lake.sources import sources
from include.lake.storage.folder import FolderLake
from include.settings import UserError
from include.warehouse.duckdb_file import DuckDB
from tests.support.compaction_steps import (
    AGAIN,
    KILL,
    LAND,
    NEW,
    REPLACE,
    ROOT,
    UNDO,
    disturbed,
)
from tests.support.compactions import DAYS, EXPECTED, event_rows, manifest, write_events

ROWS = EXPECTED[:3]
"""The rows of the lake, which has one day."""
REPLACED = sorted([*ROWS[1:], *NEW])
"""The rows of the lake after its first file was replaced."""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    write_events(tmp_path / "template", DAYS[:1])
    return tmp_path / "template"


def compacted(lake: Path) -> None:
    compact_source(FolderLake(lake), manifest(), "raw_events", None, None)


def rows_of_a_build(lake: Path) -> list[tuple[object, ...]] | None:
    """The rows that a run would read, or None if no run may begin."""
    try:
        check_ended(FolderLake(lake), sources(manifest()))
    except UserError:
        return None
    with duckdb.connect() as connection:
        create_views(DuckDB(connection), FolderLake(lake), "", sources(manifest()))
        found = connection.execute("select event_id, event_timestamp from spectrum.raw_events")
        return sorted(found.fetchall())


@pytest.mark.parametrize(("scenario", "fewest"), [(KILL, 20), (UNDO, 24), (AGAIN, 20)])
def test_a_killed_compaction_is_ended_by_the_next_one(
    template: Path, tmp_path: Path, scenario: str, fewest: int
) -> None:
    lakes = disturbed(scenario, template, tmp_path / "lakes")
    refused = 0
    for lake in lakes:
        is_replaced = dict(NEW).keys() <= dict(event_rows(lake)).keys()
        expected = REPLACED if is_replaced else ROWS
        found = rows_of_a_build(lake)
        assert found in (None, expected), lake
        refused += found is None
        compacted(lake)
        assert event_rows(lake) == expected, lake
        assert rows_of_a_build(lake) == expected, lake
        assert not list((lake / "_compaction").glob("*.json")), lake
        # The merged files are in the lake, and a further compaction does nothing.
        before = {path for path in lake.rglob("*.parquet") if path.is_file()}
        compacted(lake)
        assert {path for path in lake.rglob("*.parquet") if path.is_file()} == before, lake
    assert len(lakes) >= fewest
    assert refused >= 4


def test_a_file_that_is_replaced_at_any_step_is_not_lost(template: Path, tmp_path: Path) -> None:
    lakes = disturbed(REPLACE, template, tmp_path / "lakes")
    # The last copy was not disturbed.
    assert event_rows(lakes.pop()) == ROWS
    assert len(lakes) >= 20
    old = 0
    for lake in lakes:
        found = event_rows(lake)
        # After the end of its merge, a file with the name of a merged one is a new file.
        assert found in (REPLACED, sorted([*ROWS, *NEW])), lake
        old += found != REPLACED
        assert rows_of_a_build(lake) == found, lake
        compacted(lake)
        assert event_rows(lake) == found, lake
    assert old < 8


AT_ONCE = """
import sys
from pathlib import Path
from include.lake.compaction.compact import compact_source
from include.lake.storage.folder import FolderLake
from include.settings import UserError
from tests.support.compactions import manifest

print("ready", flush=True)
sys.stdin.readline()
try:
    compact_source(FolderLake(Path(sys.argv[1])), manifest(), "raw_events", None, None)
except UserError as error:
    sys.exit(str(error))
"""


def test_two_compactions_at_once_merge_each_row_once(template: Path, tmp_path: Path) -> None:
    for number in range(4):
        lake = tmp_path / str(number)
        shutil.copytree(template, lake)
        both = [
            subprocess.Popen(
                [sys.executable, "-c", AT_ONCE, lake],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for process in both:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in both:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        errors = [process.communicate()[1] for process in both]
        codes = [process.returncode for process in both]
        assert 0 in codes
        assert all("another compaction" in e for e, code in zip(errors, codes, strict=True) if code)
        assert event_rows(lake) == ROWS


def event_file(path: Path, *ids: str) -> None:
    lines = [
        {"event": {"event_id": f"{name}", "event_timestamp": 1_788_246_655}, "application_id": "a"}
        for name in ids
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_a_landing_at_any_step_lands_each_file_once(tmp_path: Path) -> None:
    template, lakes = tmp_path / "template", tmp_path / "lakes"
    lakes.mkdir()
    for name in ("x", "y"):
        event_file(lakes / f"{name}.jsonl", f"{name}1", f"{name}2")
    land_files(template, [str(lakes / "x.jsonl"), str(lakes / "y.jsonl")])
    # The landing of `z` is new to the copies of the lake.
    event_file(lakes / "z.jsonl", "z1", "z2")
    expected = [(f"{name}{n}", 1_788_246_655) for name in "xyz" for n in (1, 2)]
    files = [str(path) for path in sorted(lakes.glob("*.jsonl"))]
    found = disturbed(LAND, template, lakes)
    assert len(found) >= 12
    for lake in found[:-1]:
        assert event_rows(lake) == expected, lake
        compacted(lake)
        assert all(landing.landed_before for landing in land_files(lake, files)), lake
        assert event_rows(lake) == expected, lake


def test_a_killed_compaction_does_not_make_a_landing_land_again(tmp_path: Path) -> None:
    template = tmp_path / "template"
    files = []
    for name in ("x", "y"):
        files.append(str(tmp_path / f"{name}.jsonl"))
        event_file(tmp_path / f"{name}.jsonl", f"{name}1", f"{name}2")
    land_files(template, files)
    expected = event_rows(template)
    lakes = disturbed(KILL, template, tmp_path / "lakes")
    assert len(lakes) >= 12
    for lake in lakes:
        assert all(landing.landed_before for landing in land_files(lake, files)), lake
        compacted(lake)
        assert all(landing.landed_before for landing in land_files(lake, files)), lake
        assert event_rows(lake) == expected, lake
