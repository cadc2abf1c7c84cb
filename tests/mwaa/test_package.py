"""`make package`: what is in it, what is not, and that the same tree makes the same bytes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.deployment.mwaa import package as packaging
from include.manifest import fingerprint
from include.settings import ROOT


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path in it; the wheels are checked by their hashes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "wheels" not in path.relative_to(folder).parts
    }


def test_it_holds_what_mwaa_needs_and_nothing_else(package: Path) -> None:
    found = files(package)
    tops = {path.split("/")[0] for path in found}
    assert tops == {"dags", "plugins.zip", "requirements.txt", "startup.sh"}
    assert {
        *("dags/game_analytics.py", "dags/.airflowignore", "dags/dbt/profiles.yml"),
        *("dags/dbt/target/manifest.json", "dags/dbt/target/manifest.fingerprint"),
        *("dags/include/settings.py", "dags/include/build/run_dbt.py"),
        "dags/include/requirements/dbt.txt",
    } <= set(found)
    target = {path for path in found if path.startswith("dags/dbt/target/")}
    assert len(target) == 2
    unwanted = r"/(logs|tests/__|__pycache__|laptop|mwaa|aws)/|\.pyc$|\.log$|partial_parse|\.user"
    assert [path for path in found if re.search(unwanted, path)] == []
    assert found["dags/dbt/target/manifest.fingerprint"].decode().strip() == fingerprint()


def test_plugins_lie_at_the_top_of_their_zip(package: Path) -> None:
    with zipfile.ZipFile(package / "plugins.zip") as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    there = [*(ROOT / "plugins").glob("*.py"), ROOT / "plugins" / ".airflowignore"]
    assert packed == {path.name: path.read_bytes() for path in there}


def test_the_same_tree_makes_the_same_bytes(package: Path, tmp_path: Path) -> None:
    """Another time, another folder, and a manifest that dbt made anew."""
    again = tmp_path / "again"
    packaging.package(again)
    without_wheels = packaging.updates()
    first, second = files(package), files(again)
    assert second.pop("requirements.txt") == without_wheels["requirements.txt"]
    assert second.pop("startup.sh") == without_wheels["startup.sh"]
    assert second == {path: first[path] for path in second}
    assert str(ROOT).encode() not in second["dags/dbt/target/manifest.json"]
    made = json.loads(second["dags/dbt/target/manifest.json"])
    rates = made["sources"]["source.game_analytics.ledger.currency_exchange"]
    # Spectrum reads CSV by position.
    assert list(rates["columns"])[:3] == ["date", "currency", "baserateeuro"]
    assert packaging.outdated(again) == []
    (again / "dags" / "include" / "settings.py").write_text("")
    (again / "dags" / "left_over.py").touch()
    assert packaging.outdated(again) == ["dags/include/settings.py", "dags/left_over.py"]


def test_the_startup_script_is_bash_that_never_leaves_the_shell(package: Path) -> None:
    script = (package / "startup.sh").read_text()
    checked = subprocess.run(["bash", "-n"], input=script, text=True, check=False)
    assert checked.returncode == 0
    code = [line.split("#")[0] for line in script.split("\nLOCK\n")[1].splitlines()]
    assert not re.search(r"^\s*(set -|exit\b)", "\n".join(code), re.MULTILINE)
    assert not re.search(r"@[A-Z]+@", script)
    assert "dbt-core==1.11.16" in script


def test_the_lock_is_that_of_mwaas_python() -> None:
    lock = (
        "networkx==3.6.1 ; python_full_version < '3.12' \\\n    --hash=sha256:aa\n"
        "networkx==3.7 ; python_full_version >= '3.12' \\\n    --hash=sha256:bb \\\n"
        "    --hash=sha256:cc\n"
        "tzdata==2026.6 ; sys_platform == 'win32' \\\n    --hash=sha256:dd\n"
        "uvicorn[standard]==1.0 \\\n    --hash=sha256:ee\n"
    )
    assert packaging.for_mwaa(lock) == (
        "networkx==3.7 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "uvicorn[standard]==1.0 \\\n    --hash=sha256:ee\n"
    )
    assert (
        packaging.for_mwaa(lock, {"uvicorn"}) == "uvicorn[standard]==1.0 \\\n    --hash=sha256:ee\n"
    )
    whole = (ROOT / "include/requirements/dbt.txt").read_text()
    names = re.findall(r"(?m)^([a-z0-9-]+)==", packaging.for_mwaa(whole))
    assert sorted(set(re.findall(r"(?m)^([a-z0-9-]+)==", whole)) - set(names)) == ["tzdata"]
    assert len(names) == len(set(names))


def test_the_wheels_are_all_that_the_locks_ask_for(package: Path) -> None:
    def name(wheel: Path) -> str:
        return wheel.name.split("-")[0].replace("_", "-").lower()

    dbt = {name(wheel) for wheel in (package / "wheels" / "dbt").iterdir()}
    lock = packaging.for_mwaa((ROOT / "include/requirements/dbt.txt").read_text())
    assert dbt == set(re.findall(r"(?m)^([a-z0-9-]+)==", lock))
    airflow = {name(wheel) for wheel in (package / "wheels" / "airflow").iterdir()}
    assert {"astronomer-cosmos", "aenum"} <= airflow
    assert not {"apache-airflow", "boto3"} & airflow


def test_its_remedies_are_those_of_mwaa(package: Path, tmp_path: Path) -> None:
    dbt = tmp_path / "game_analytics_dbt" / "bin" / "dbt"
    (tmp_path / "game_analytics_dbt.failed").write_text("no space left\n")
    program = (
        "import sys; from include import manifest as m; "
        "print(m.install_dbt(sys.argv[1])); print(m.MAKE_MANIFEST)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(dbt)],
        cwd=package / "dags",
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.startswith("startup.sh reported: no space left; wait if the MWAA environment is ")
    assert "`make deploy` with ARGS=--update" in said
    assert "make install" not in said
    assert "make manifest" not in said


def test_wheels_without_a_bucket_are_refused() -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "include.deployment.mwaa.package", "--wheels"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 1
    assert asked.stderr.startswith("error: startup.sh must know where the wheels will lie")
    assert "Traceback" not in asked.stderr


def test_a_zip_says_nothing_of_the_day_it_was_made() -> None:
    with zipfile.ZipFile(BytesIO(packaging.updates()["plugins.zip"])) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
