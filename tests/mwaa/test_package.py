"""`make package`: the content of the package, and that a checkout always gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from packaging.markers import Marker

from include.deployment.mwaa import package as packaging
from include.deployment.mwaa import versions, wheels
from include.manifest import fingerprint
from include.settings import ROOT, UserError


def files(folder: Path) -> dict[str, bytes]:
    """The content of the files in a folder, by path. The wheels are left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "wheels" not in path.relative_to(folder).parts
    }


def test_the_package_holds_what_mwaa_needs_and_nothing_else(package: Path) -> None:
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


def test_plugins_zip_has_the_plugins_at_its_top_level(package: Path) -> None:
    with zipfile.ZipFile(package / "plugins.zip") as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    there = [*(ROOT / "plugins").glob("*.py"), ROOT / "plugins" / ".airflowignore"]
    assert packed == {path.name: path.read_bytes() for path in there}


def test_the_same_checkout_gives_the_same_bytes(package: Path, tmp_path: Path) -> None:
    """The second package is made at another time, in another folder, with a new manifest."""
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
    # The order of the columns must stay, because Spectrum reads CSV by position.
    assert list(rates["columns"])[:3] == ["date", "currency", "baserateeuro"]
    assert packaging.outdated(again) == []
    (again / "dags" / "include" / "settings.py").write_text("")
    (again / "dags" / "left_over.py").touch()
    assert packaging.outdated(again) == ["dags/include/settings.py", "dags/left_over.py"]


def test_the_startup_script_never_ends_the_shell_that_sources_it(package: Path) -> None:
    script = (package / "startup.sh").read_text()
    checked = subprocess.run(["bash", "-n"], input=script, text=True, check=False)
    assert checked.returncode == 0
    code = [line.split("#")[0] for line in script.split("\nLOCK\n")[1].splitlines()]
    assert not re.search(r"^\s*(set -|exit\b)", "\n".join(code), re.MULTILINE)
    assert not re.search(r"@[A-Z]+@", script)
    assert "dbt-core==1.11.16" in script


def test_the_wheels_are_all_that_the_locks_ask_for_on_mwaa(package: Path) -> None:
    def versions(folder: str) -> dict[str, str]:
        found = list((package / "wheels" / folder).iterdir())
        assert all(wheel.name.endswith(("-any.whl", "x86_64.whl")) for wheel in found)
        hashes = (ROOT / f"include/requirements/{folder}.txt").read_text()
        assert all(hashlib.sha256(wheel.read_bytes()).hexdigest() in hashes for wheel in found)
        parts = [wheel.name.split("-") for wheel in found]
        return {name.replace("_", "-").lower(): version for name, version, *_ in parts}

    lock = (ROOT / "include/requirements/dbt.txt").read_text()
    pins = re.findall(r"(?m)^([a-z0-9-]+)==([^ ]+)(?: ; (.+))? \\$", lock)
    mwaa = {"python_version": "3.12", "python_full_version": "3.12.13", "sys_platform": "linux"}
    expected = {
        name: version
        for name, version, marker in pins
        if not marker or Marker(marker).evaluate(mwaa)
    }
    assert {"networkx", "dbt-core"} <= set(expected)
    assert "tzdata" not in expected
    assert versions("dbt") == expected
    airflow = versions("airflow")
    assert {"astronomer-cosmos", "aenum"} <= set(airflow)
    assert not {"apache-airflow", "boto3"} & set(airflow)


def test_wheels_that_cannot_be_downloaded_are_a_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(
        UserError, match=r"wheels of airflow cannot be downloaded \(cause: .*needs a package index"
    ):
        wheels.download_wheels(tmp_path / "new", tmp_path / "none", versions.DEFAULT)


def test_the_packaged_code_names_remedies_for_mwaa(package: Path, tmp_path: Path) -> None:
    dbt = tmp_path / "game_analytics_dbt" / "bin" / "dbt"
    (tmp_path / "game_analytics_dbt.failed").write_text("no space left\n")
    program = (
        "import sys; from include import manifest as m; "
        "print(m.install_dbt(sys.argv[1])); print(m.MAKE_MANIFEST)"
    )
    output = subprocess.run(
        [sys.executable, "-c", program, str(dbt)],
        cwd=package / "dags",
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.startswith(
        "startup.sh reported: no space left; wait if the MWAA environment is being"
    )
    assert "`make deploy` with ARGS=--update" in output
    assert "make install" not in output
    assert "make manifest" not in output


def test_wheels_without_a_bucket_are_refused() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "include.deployment.mwaa.package", "--wheels"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: startup.sh downloads the wheels from MWAA's bucket")
    assert "Traceback" not in ended.stderr


def test_plugins_zip_does_not_depend_on_the_date() -> None:
    with zipfile.ZipFile(BytesIO(packaging.updates()["plugins.zip"])) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
