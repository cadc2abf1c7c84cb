"""The docstring of each folder of `include/` names its environment and lists its files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from include.settings import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "include").rglob("__init__.py"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_docstring_names_the_environment_and_lists_every_file(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    assert re.match("(Both environments|Airflow's environment|dbt's environment|A checkout)", text)
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    files |= {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    listed = set(re.findall(r"^\| `([^`/]+/?)` \|", text, re.MULTILINE))
    assert listed == files or (not listed and len(files) <= 3)
