"""A package names the version of Airflow that it was made for, and its requirements fit it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.deployment.mwaa import package as packaging
from include.deployment.mwaa import versions
from include.deployment.mwaa.target import Target
from include.settings import AIRFLOW_VERSION, ROOT, UserError
from tests.mwaa.conftest import BUCKET, NAME, described, stubbed_mwaa

CONSTRAINTS = Path(__file__).parent / "constraints"
OTHER = "3.2.1"


def pins(text: str) -> dict[str, str]:
    """The versions of packages in a lock or a constraint file, by name in lower case."""
    found = re.findall(r"(?m)^([A-Za-z0-9._-]+)(?:\[[a-z0-9,-]+\])?==([^\s;\\]+)", text)
    return {name.lower().replace("_", "-"): version for name, version in found}


def constraints(airflow: str) -> dict[str, str]:
    """What MWAA's image for a version of Airflow pins."""
    folder = CONSTRAINTS if airflow == versions.DEFAULT else CONSTRAINTS / airflow
    return {
        name: version
        for path in sorted(folder.glob("*.txt"))
        for name, version in pins(path.read_text()).items()
    }


def test_the_locks_are_those_of_the_versions_that_mwaa_offers() -> None:
    assert versions.supported() == [OTHER, versions.DEFAULT]
    assert versions.lock_name(versions.DEFAULT) == "airflow"


@pytest.mark.parametrize("airflow", versions.supported())
def test_requirements_and_lock_fit_under_the_constraints_of_the_image(airflow: str) -> None:
    fixed = constraints(airflow)
    assert fixed["apache-airflow"] == airflow
    required = pins(versions.requirements(airflow))
    locked = pins(versions.lock_file(airflow).read_text())
    assert required["apache-airflow"] == airflow
    assert {name: locked[name] for name in required} == required
    differing = {
        name: (version, fixed[name])
        for name, version in locked.items()
        if fixed.get(name, version) != version
    }
    assert differing == {}


def test_the_requirements_at_the_top_level_are_those_of_the_default_version() -> None:
    text = (ROOT / "include" / "requirements" / "airflow.in").read_text()
    assert pins(versions.requirements(versions.DEFAULT)) == pins(text)


@pytest.mark.parametrize("airflow", versions.supported())
def test_the_package_says_for_which_version_it_was_made(tmp_path: Path, airflow: str) -> None:
    wrote = {**packaging.sources(airflow), **packaging.updates(airflow=airflow)}
    assert wrote[packaging.VERSION].decode() == f"{airflow}\n"
    assert f"apache-airflow=={airflow}\n" in wrote["requirements.txt"].decode()
    # On MWAA, `include/` lies in the folder `dags/`, where the settings look for the file.
    assert f"dags/{AIRFLOW_VERSION.relative_to(ROOT)}" == packaging.VERSION
    for path, content in wrote.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    assert packaging.airflow_of(tmp_path) == airflow
    # Only the manifest is missing here.
    assert packaging.outdated(tmp_path) == [packaging.MANIFEST]


def test_a_checkout_does_not_say_for_which_version_it_is() -> None:
    assert not AIRFLOW_VERSION.exists()


def test_a_version_without_a_lock_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"made for Airflow 3\.1\.0, only for 3\.2\.1, 3\.3\.1: "):
        packaging.updates(airflow="3.1.0")


@pytest.mark.parametrize(
    ("package", "environment", "remedy"),
    [
        (OTHER, versions.DEFAULT, "run `make package AIRFLOW=3.3.1` (with WHEELS=1"),
        (versions.DEFAULT, OTHER, "run `make package AIRFLOW=3.2.1` (with WHEELS=1"),
        (OTHER, "2.10.3", "update the environment to 3.2.1"),
    ],
)
def test_a_deploy_to_another_version_is_refused(
    package: str, environment: str, remedy: str
) -> None:
    with stubbed_mwaa() as (mwaa, stubber):
        found = described(BUCKET, AirflowVersion=environment)
        stubber.add_response("get_environment", found, {"Name": NAME})
        stubber.add_response("get_environment", described(BUCKET, AirflowVersion=package))
        target = Target(NAME, BUCKET, s3=object(), mwaa=mwaa)
        sentence = f"has Airflow {environment}, the package is for {package}: {remedy}"
        with pytest.raises(UserError, match=re.escape(sentence)):
            target.environment(package)
        assert target.environment(package)["AirflowVersion"] == package
