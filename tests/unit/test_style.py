"""The linters, each as one test that fails with the linter's output, and the tests' own layout.

ruff, mypy and yamllint run in Airflow's environment, sqlfluff in dbt's.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from include.settings import ROOT

FOLDERS = ("dags", "include", "plugins", "tests")
INSIDE_AIRFLOW = (Path(sys.executable).parent / "yamllint").exists()

needs_airflow_environment = pytest.mark.skipif(
    not INSIDE_AIRFLOW, reason="the tool is in the Airflow environment"
)


def _run(*command: str | Path) -> None:
    """Run a tool of this environment on the checkout; the test fails with its output."""
    tool, *arguments = map(str, command)
    ran = subprocess.run(
        [str(Path(sys.executable).parent / tool), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        pytest.fail(ran.stdout + ran.stderr, pytrace=False)


@needs_airflow_environment
def test_ruff() -> None:
    _run("ruff", "check", ".")


@needs_airflow_environment
def test_ruff_formats() -> None:
    _run("ruff", "format", "--diff", ".")


@needs_airflow_environment
def test_each_folder_imports_only_what_its_environment_and_layer_have() -> None:
    # The contracts are in pyproject.toml, section importlinter.
    _run("lint-imports", "--no-cache")


@needs_airflow_environment
def test_yaml() -> None:
    _run("yamllint", "--strict", ".")


@needs_airflow_environment
@pytest.mark.parametrize("environment", ["airflow", "dbt"])
def test_types(environment: str) -> None:
    # A file belongs to each environment that has all packages that it imports, directly or not.
    _run("mypy", "--python-executable", _python(environment), *_files_of(environment))


@needs_airflow_environment
def test_every_file_belongs_to_an_environment() -> None:
    assert set(_imports()) == set(_files_of("airflow")) | set(_files_of("dbt"))


def test_nothing_imports_from_a_test_module() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "tests").rglob("*.py")
        for name in _named(path)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ]
    assert not found, "what several files use belongs into tests/support"


def test_the_unit_tests_mirror_include() -> None:
    beside = {"dbt", "plugins", "test_style.py", "test_readme.py"}
    beside |= {"test_makefile.py", "test_folders.py"}
    folder, mirrored = ROOT / "tests" / "unit", ROOT / "include"
    misplaced = []
    for path in sorted(folder.rglob("test_*.py")):
        name = path.relative_to(folder)
        module = mirrored / name.parent / f"{path.stem.removeprefix('test_')}.py"
        is_mirror = module.parent.is_dir() and module.parent != mirrored
        if name.parts[0] not in beside and not (is_mirror or module.exists()):
            misplaced.append(str(name))
    assert not misplaced, "a unit test lies in the folder of what it tests"


def _python(environment: str) -> Path:
    return ROOT / ".venv" / environment / "bin" / "python"


@cache
def _imports() -> Mapping[Path, frozenset[str]]:
    """The third-party packages that a file needs, by file."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    direct = {path: {_module(path), *_named(path)} for path in paths}
    modules = {_module(path): path for path in paths}
    own_packages = {*FOLDERS, "__future__", *(name.split(".")[0] for name in modules)}

    def needed(path: Path, seen: set[Path]) -> set[str]:
        seen.add(path)
        found: set[str] = set()
        for name in direct[path]:
            found.add(name.split(".")[0])
            # Python imports the packages above a module before the module.
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                own = modules.get(".".join(parts[:length]))
                if own is not None and own not in seen:
                    found |= needed(own, seen)
        return found - set(sys.stdlib_module_names) - own_packages

    return {path: frozenset(needed(path, set())) for path in paths}


def _named(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    # Airflow puts the folder of the plugins on the path, so their modules have no package.
    parts = parts[1:] if parts[0] == "plugins" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _files_of(environment: str) -> list[Path]:
    needed = sorted(frozenset().union(*_imports().values()))
    program = (
        "import importlib.util as u, json, sys;"
        "print(json.dumps([n for n in sys.argv[1:] if u.find_spec(n) is None]))"
    )
    found = subprocess.run(
        # Isolated mode, because Python would take the project's folder `dbt` for the package.
        [str(_python(environment)), "-I", "-c", program, *needed],
        capture_output=True,
        text=True,
        check=True,
    )
    missing = set(json.loads(found.stdout))
    return [path for path, packages in _imports().items() if not packages & missing]


def test_sql() -> None:
    pytest.importorskip("sqlfluff", reason="the tool is in the dbt environment")
    from sqlfluff.core import FluffConfig, Linter
    from sqlfluff.core.config import load_config_up_to_path

    # The rules are in pyproject.toml. dbt's own templater would need a warehouse, so each macro is
    # replaced by a stub, which makes one value, or a query where the macro makes a query.
    stubs = dict(_stubs())
    stubs["collected"] = stubs["collected"].replace("a_value", "materialized ")
    stubs["values_as_rows"] = stubs["values_as_rows"].replace("a_value", "select 1 as a_value")
    settings: dict[str, Any] = load_config_up_to_path(str(ROOT))
    settings["templater"]["jinja"]["macros"] = stubs
    linter = Linter(config=FluffConfig(settings))
    paths = [
        path
        for folder in ("analyses", "models", "snapshots", "tests")
        for path in _sql_files(folder)
    ]
    assert len(paths) > 30
    faults = [
        f"{path.relative_to(ROOT)}:{fault.line_no} {fault.rule_code()} {fault.desc()}"
        for path in paths
        for fault in linter.lint_string(path.read_text(), fname=str(path)).get_violations()
    ]
    # sqlfluff reads no macros and does not measure the lines of a template that are not SQL.
    max_length = settings["core"]["max_line_length"]
    assert max_length == 88
    faults += [
        f"{path.relative_to(ROOT)}:{number} has {len(line)} characters"
        for path in [*paths, *_sql_files("macros")]
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if len(line) > max_length
    ]
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


def _sql_files(folder: str) -> list[Path]:
    """Return all SQL files of a folder of the dbt project."""
    return sorted((ROOT / "dbt" / folder).rglob("*.sql"))


def _stubs() -> Iterator[tuple[str, str]]:
    """Yield each macro's name and a macro with the same name and arguments that makes one value."""
    for path in _sql_files("macros"):
        for name, arguments in re.findall(
            r"\{%-?\s*macro\s+(\w+)\s*\((.*?)\)\s*-?%\}", path.read_text(), re.DOTALL
        ):
            yield name, f"{{% macro {name}({arguments}) %}}a_value{{% endmacro %}}"
