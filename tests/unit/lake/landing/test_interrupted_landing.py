"""Landings that are interrupted, and landings at the same time, leave each file whole or absent."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.landing import records
from include.lake.landing.landing import land_files
from include.lake.landing.landing_zone import LandingZone, finish_landings
from include.settings import ROOT
from tests.unit.lake.landing.event_lake import (
    ARRIVED,
    Command,
    all_rows,
    event_text,
    rows,
)


def test_a_second_landing_at_the_same_time_is_refused(
    lake: Path, source: Path, command: Command
) -> None:
    with LandingZone(lake):
        code, _, error = command(source)
    assert code == 1
    assert "another landing" in error
    assert command(source)[0] == 0


def test_finish_landings_keeps_the_files_of_a_running_landing(lake: Path) -> None:
    assert finish_landings(lake) == 0
    with LandingZone(lake) as zone:

        def finish() -> None:
            assert finish_landings(lake) == 0
            assert len(list((lake / "_landing" / "staging").iterdir())) == 1

        done = zone.land("a", io.BytesIO(event_text()), ARRIVED, finish)
    assert done.landed == 30
    assert len(rows(lake)) == 30


def test_a_landing_is_finished_later_if_the_disk_fills_up_after_the_commit(
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


def test_ctrl_c_before_the_commit_leaves_nothing(
    lake: Path, source: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records, "parse_lines", interrupt)
        code, _, error = command(source)
    assert code == 130
    assert "Traceback" not in error
    assert all_rows(lake) == [[], []]
    assert list((lake / "_landing" / "staging").iterdir()) == []
    assert command(source)[0] == 0


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
def test_a_killed_landing_is_finished_or_absent(
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
        finished = all_rows(undisturbed)
        if recover is finish_landings and not is_committed:
            finished = [[], []]
        assert all_rows(lake) == finished
        for folder in ("staging", "committed"):
            assert list((lake / "_landing" / folder).iterdir()) == []
        land_files(lake, [str(source)], ARRIVED)
        assert all_rows(lake) == all_rows(undisturbed)
