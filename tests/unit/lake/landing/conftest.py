"""A lake, an event file and the command that lands it, for the tests of the landing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.lake.landing.event_lake import Command


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """The path of a lake that does not exist yet."""
    return tmp_path / "lake"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An event file with 30 events and 3 lines to reject."""
    from tests.unit.lake.landing.event_lake import event_text

    path = tmp_path / "a.jsonl"
    path.write_bytes(event_text())
    return path


@pytest.fixture
def command(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `python -m include.lake land …` in this process: exit code, output, error."""
    from include.lake.__main__ import main

    monkeypatch.setenv("GAME_ANALYTICS_LAKE", str(lake))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["lake", "land", *map(str, arguments)])
        capsys.readouterr()
        return main(), *capsys.readouterr()

    return run
