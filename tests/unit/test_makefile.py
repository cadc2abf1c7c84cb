"""The Makefile installs a broken environment again, and tests write only into the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import ROOT

TO_DO = {name: f"Installing the {name} environment" for name in ("airflow", "dbt")}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile with stand-ins for the environments, which make takes for complete."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "include" / "requirements", tmp_path / "include" / "requirements")
    for name in ("uv", "airflow", "dbt"):
        programs = tmp_path / ".venv" / name / "bin"
        programs.mkdir(parents=True)
        for program in ("python", name):
            (programs / program).write_text("#!/bin/sh\n")
            (programs / program).chmod(0o755)
        (programs.parent / ".installed").touch()
    return tmp_path


def planned(checkout: Path, target: str = "install") -> str:
    """The commands that `make` would run for a target."""
    shown = subprocess.run(
        ["make", "--dry-run", target], cwd=checkout, capture_output=True, text=True, check=True
    )
    return shown.stdout


def test_a_complete_environment_is_not_installed_again(checkout: Path) -> None:
    assert "Nothing to be done" in planned(checkout)


@pytest.mark.parametrize("name", ["airflow", "dbt"])
@pytest.mark.parametrize("damage", ["program is gone", "was moved", "python does not run"])
def test_only_a_broken_environment_is_installed_again(
    checkout: Path, name: str, damage: str
) -> None:
    programs = checkout / ".venv" / name / "bin"
    if damage == "program is gone":
        (programs / name).unlink()
    elif damage == "was moved":
        (programs / name).write_text("#!/elsewhere/.venv/bin/python\n")
    else:
        (programs / "python").write_text("#!/of/another/machine/python\n")
    output = planned(checkout)
    assert {other for other, text in TO_DO.items() if text in output} == {name}


def test_both_environments_run_their_tests_even_if_the_first_fails(checkout: Path) -> None:
    (checkout / ".venv" / "aws").mkdir()
    (checkout / ".venv" / "aws" / ".installed").touch()
    for name, code in (("dbt", 1), ("airflow", 0)):
        python = checkout / ".venv" / name / "bin" / "python"
        python.write_text(
            f'#!/bin/sh\ncase "$*" in *pytest*) echo {name} >> ran; exit {code};; esac\n'
        )
    ended = subprocess.run(
        ["make", "test"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert (checkout / "ran").read_text().split() == ["dbt", "airflow"], ended.stderr
    assert ended.returncode == 2
    assert "error: tests failed, see above: dbt.failed" in ended.stderr


def test_the_tests_leave_nothing_outside_the_checkout(checkout: Path, tmp_path: Path) -> None:
    runs = [line for line in planned(checkout, "test").splitlines() if "-m pytest" in line]
    assert len(runs) == 2
    folder = f'TMPDIR="{checkout}/.pytest_tmp" '
    assert all(run.startswith(folder) for run in runs)
    assert "/.pytest_tmp/" in (ROOT / ".gitignore").read_text().splitlines()

    program = "from tests.conftest import HOME; open(f'{HOME}/a', 'w').close(); print(HOME)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    home = Path(ended.stdout.strip())
    assert home.parent == tmp_path
    assert not home.exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.jsonl more/", ["a.jsonl", "more/"]),
        ("'my file.jsonl' a.jsonl", ["my file.jsonl", "a.jsonl"]),
        ('"my file.jsonl" a.jsonl', ["my file.jsonl", "a.jsonl"]),
        ("my\\ file.jsonl", ["my file.jsonl"]),
        ('"it\'s (1).jsonl"', ["it's (1).jsonl"]),
        ("*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("'*.jsonl' '[a].jsonl'", ["*.jsonl", "[a].jsonl"]),
        ("-", ["-"]),
    ],
)
def test_the_names_of_files_may_have_spaces_and_patterns(
    checkout: Path, given: str, expected: list[str]
) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (checkout / name).touch()
    python = checkout / ".venv" / "dbt" / "bin" / "python"
    python.write_text('#!/bin/sh\n[ $# -lt 3 ] || printf "%s\\n" "$@" > ran\n')
    subprocess.run(["make", "land", f"FILES={given}"], cwd=checkout, check=True)
    assert (checkout / "ran").read_text().splitlines() == ["-m", "include.lake", "land", *expected]


def test_a_landing_without_files_is_refused(checkout: Path) -> None:
    for given in ("", "  "):
        command = ["make", "land", f"FILES={given}"]
        ended = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert "error: no files given" in ended.stderr
