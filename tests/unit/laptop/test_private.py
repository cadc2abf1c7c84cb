"""What the laptop's commands write is readable for its owner only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="runs in Airflow's environment")

from include.laptop import private
from include.settings import ROOT


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.usefixtures("umask")
def test_open_folders_are_closed_once_and_new_files_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(private, "ROOT", tmp_path)
    folders = [tmp_path / name for name in ("data", "dbt", "absent")]
    monkeypatch.setattr(private, "FOLDERS", folders)
    folders[0].mkdir()
    folders[1].mkdir(mode=0o700)
    private.keep_private()
    assert [mode(folder) for folder in folders[:2]] == [0o700, 0o700]
    text = "Other users of this machine can no longer read data.\n"
    assert capsys.readouterr().out == text
    private.keep_private()
    assert capsys.readouterr().out == ""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert (mode(tmp_path / "file"), mode(tmp_path / "folder")) == (0o600, 0o700)


def test_every_command_that_writes_data_is_private() -> None:
    """`make` starts these without a command of `include.laptop`, which would set the umask."""
    makefile = (ROOT / "Makefile").read_text()
    for target in ("airflow", "land", "generate", "compact", "manifest"):
        recipe = makefile.partition(f"\n{target}: ")[2].partition("\n\n")[0]
        assert "$(PRIVATE)" in recipe or "@$(LAKE)" in recipe, target
    assert "\nPRIVATE := umask 077 &&\nLAKE := $(PRIVATE) " in makefile
    for name in ("run", "up", "build"):
        assert "    keep_private()\n" in (ROOT / f"include/laptop/{name}.py").read_text()
