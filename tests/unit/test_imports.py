"""The contracts of `pyproject.toml` on imports between the folders of `include/` are kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import ROOT

LINTER = Path(sys.executable).parent / "lint-imports"


@pytest.mark.skipif(not LINTER.exists(), reason="the tool is in the Airflow environment")
def test_each_folder_imports_only_what_its_environment_and_layer_have() -> None:
    ended = subprocess.run(
        [str(LINTER), "--no-cache"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        pytest.fail(ended.stdout + ended.stderr, pytrace=False)
    # A contract on a folder that does not exist would be kept, too.
    assert "Contracts: 5 kept, 0 broken." in ended.stdout
