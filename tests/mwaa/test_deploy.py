"""`make deploy` against an emulator of S3 and a stub of MWAA's API, which has no emulator.

The stub is botocore's. It checks the requests against AWS's own model of the API.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.deployment.mwaa import deploy, plan
from include.deployment.mwaa import package as packaging
from include.deployment.mwaa.target import Target
from include.settings import ROOT, UserError
from tests.mwaa.conftest import BUCKET, NAME, described, make_bucket, stubbed_mwaa
from tests.support.ministack import MiniStack

USED = {
    "PluginsS3Path": "plugins.zip",
    "RequirementsS3Path": "requirements.txt",
    "StartupScriptS3Path": "startup.sh",
}
VERSIONS = {
    "plugins.zip": "PluginsS3ObjectVersion",
    "requirements.txt": "RequirementsS3ObjectVersion",
    "startup.sh": "StartupScriptS3ObjectVersion",
}


class Stage:
    """A bucket with an environment that uses it, and the package to deploy.

    `used` holds the paths and versions of files that the environment uses.
    """

    def __init__(self, emulator: MiniStack, bucket: str, dist: Path) -> None:
        self.bucket = bucket
        self.dist = dist
        self.s3 = make_bucket(emulator, bucket)
        self.used: dict[str, str] = {}

    def run(
        self,
        *,
        updates: bool,
        only_plan: bool = False,
        force: bool = False,
        replace: bool = False,
        name: str = NAME,
    ) -> list[str]:
        """Deploy and return the lines about it, or with `only_plan` the lines of the plan.

        The stub fails at every request to MWAA that is not expected. `updates` says whether an
        update of the environment is.
        """
        changes: list[str] = []
        with stubbed_mwaa() as (mwaa, stubber):
            if name:
                stubber.add_response(
                    "get_environment", described(self.bucket, **self.used), {"Name": name}
                )
            target = Target(name, self.bucket, s3=self.s3, mwaa=mwaa)
            planned = plan.make_plan(target, self.dist, force=force, replace_others=replace)
            if only_plan:
                return list(planned.lines())
            if updates:
                stubber.add_response("update_environment", {"Arn": "arn:aws:airflow:x"})
            arguments: dict[str, Any] = {}
            mwaa.meta.events.register(
                "provide-client-params.mwaa.UpdateEnvironment",
                lambda params, **_: arguments.update(params),
            )
            deploy.deploy(target, planned, changes.append)
            stubber.assert_no_pending_responses()
        self.arguments = arguments
        if arguments:
            self.used |= {
                name: value
                for name, value in arguments.items()
                if name.endswith(("Path", "Version"))
            }
        return changes

    def object_keys(self) -> set[str]:
        """The keys of the bucket."""
        found = self.s3.list_objects_v2(Bucket=self.bucket, MaxKeys=1000)
        return {entry["Key"] for entry in found.get("Contents", [])}

    def versions(self) -> int:
        """The number of versions in the bucket, delete markers included."""
        found = self.s3.list_object_versions(Bucket=self.bucket, MaxKeys=1000)
        assert not found["IsTruncated"]
        return len(found["Versions"]) + len(found.get("DeleteMarkers", []))


@pytest.fixture
def stage(
    emulator: MiniStack,
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Stage:
    """A new bucket, and a package without wheels that the test may change."""
    dist = tmp_path / "dist"
    shutil.copytree(package, dist, ignore=shutil.ignore_patterns("wheels"))
    for name, content in packaging.updates().items():
        (dist / name).write_bytes(content)
    # The tests change the package and not the checkout, so the package is always outdated.
    monkeypatch.setattr(plan, "outdated", lambda _: [])
    number = abs(hash(request.node.name)) % 10**8
    return Stage(emulator, f"{BUCKET}-{number}", dist)


def test_a_first_deploy_uploads_everything_and_a_second_one_nothing(stage: Stage) -> None:
    planned = stage.run(updates=False, only_plan=True)
    assert stage.object_keys() == set()
    assert f"upload s3://{stage.bucket}/dags/game_analytics.py" in planned
    assert planned[-1].startswith(f"update environment {NAME}: plugins.zip, requirements.txt")
    changes = stage.run(updates=True)
    expected = {
        path.relative_to(stage.dist).as_posix() for path in stage.dist.rglob("*") if path.is_file()
    }
    assert stage.object_keys() == expected
    ours = [line.removeprefix("uploaded ") for line in changes if line.startswith("uploaded dags/")]
    assert ours[-2:] == ["dags/dbt/target/manifest.json", "dags/dbt/target/manifest.fingerprint"]
    assert stage.arguments["WorkerReplacementStrategy"] == "GRACEFUL"
    for key, version in VERSIONS.items():
        head = stage.s3.head_object(Bucket=stage.bucket, Key=key)
        assert stage.arguments[version] == head["VersionId"] != "null"
    assert stage.run(updates=False, only_plan=True) == ["nothing to do"]
    assert stage.run(updates=False) == []
    assert stage.run(updates=True, force=True)[-1].startswith(f"{NAME} is being updated")
    assert set(stage.arguments) == {"Name", "WorkerReplacementStrategy"}


def test_a_deploy_uploads_changed_files_and_deletes_removed_ones(stage: Stage) -> None:
    stage.run(updates=True)
    for other in ("dags/others.py", "dags/others/include/x.py", "elsewhere/dbt/y.sql"):
        stage.s3.put_object(Bucket=stage.bucket, Key=other, Body=b"of others")
    (stage.dist / "dags/dbt/models/marts/kpis/rpt_ltv.sql").write_text("select 1 as one")
    (stage.dist / "dags/include/build/kpis.py").unlink()
    (stage.dist / packaging.FINGERPRINT).write_text("new\n")
    assert stage.run(updates=False) == [
        "uploaded dags/dbt/models/marts/kpis/rpt_ltv.sql",
        "deleted dags/include/build/kpis.py",
        "uploaded dags/dbt/target/manifest.fingerprint",
    ]
    assert {
        "dags/others.py",
        "dags/others/include/x.py",
        "elsewhere/dbt/y.sql",
    } <= stage.object_keys()
    # A changed plugin changes only plugins.zip.
    (stage.dist / "plugins.zip").write_bytes(b"another")
    assert stage.run(updates=True)[0] == "uploaded plugins.zip"
    expected = {"Name", "WorkerReplacementStrategy", "PluginsS3Path", "PluginsS3ObjectVersion"}
    assert set(stage.arguments) == expected


def test_objects_that_no_deploy_wrote_are_kept(stage: Stage) -> None:
    stage.run(updates=True)
    others = {
        "dags/dbt/other_team/dbt_project.yml",
        "dags/include/helpers.py",
        "dags/game_analytics_of_others.py",
    }
    for key in others:
        stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=b"of others")
    (stage.dist / "dags/include/build/kpis.py").unlink()
    assert stage.run(updates=False) == ["deleted dags/include/build/kpis.py"]
    assert others <= stage.object_keys()
    # If the package has files with the same keys, all of them are named and nothing is changed.
    taken = ("dags/include/settings.py", "plugins.zip", "requirements.txt", "startup.sh")
    for key in taken:
        stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=b"of others")
    stage.used = {}
    before = stage.versions()
    named = " and ".join(f"s3://{stage.bucket}/{key}" for key in taken)
    with pytest.raises(UserError, match=f"no deploy of this package wrote {named}: name with"):
        stage.run(updates=False)
    assert stage.versions() == before
    changes = stage.run(updates=True, replace=True)
    assert {line.removeprefix("uploaded ") for line in changes[:-1]} == set(taken)


def test_files_uploaded_before_the_environment_exists_are_not_uploaded_again(stage: Stage) -> None:
    planned = stage.run(updates=False, only_plan=True, name="")
    assert f"upload s3://{stage.bucket}/plugins.zip" in planned
    assert not any(line.startswith("update") for line in planned)
    assert "uploaded startup.sh" in stage.run(updates=False, name="")
    assert stage.run(updates=False, only_plan=True, name="") == ["nothing to do"]
    # The environment is created with these versions.
    heads = {key: stage.s3.head_object(Bucket=stage.bucket, Key=key) for key in VERSIONS}
    versions = {VERSIONS[key]: head["VersionId"] for key, head in heads.items()}
    stage.used = {**USED, **versions}
    assert stage.run(updates=False) == []
    # Files that a person copied by hand count as deployed if they have the same content.
    for key, version in VERSIONS.items():
        copied = (stage.dist / key).read_bytes()
        written = stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=copied)
        stage.used[version] = written["VersionId"]
    assert stage.run(updates=False) == []


def test_files_are_compared_by_hash_where_the_etag_is_none(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.run(updates=True)
    listed = Target.objects

    def scrambled(self: Target, prefix: str) -> dict[str, dict[str, Any]]:
        found = listed(self, prefix)
        return {key: {**entry, "ETag": '"of-a-key"'} for key, entry in found.items()}

    monkeypatch.setattr(Target, "objects", scrambled)
    assert stage.run(updates=False) == []


def test_a_failed_update_of_the_environment_is_repeated(stage: Stage) -> None:
    stage.run(updates=True)
    used = dict(stage.used)
    (stage.dist / "startup.sh").write_text("# another")
    stage.run(updates=True)
    # MWAA rolled the update back, so the environment still uses the versions before it.
    stage.used = used
    assert stage.run(updates=True)[0] == "uploaded startup.sh"


@pytest.fixture
def stop_after() -> Iterator[Callable[[int], None]]:
    """A function that lets every later deploy fail after a number of uploads."""
    put = Target.put

    def stop(number: int) -> None:
        written: list[str] = []

        def put_few(self: Target, key: str, path: Path) -> str:
            if len(written) >= number:
                raise UserError("the connection is lost")
            written.append(key)
            return put(self, key, path)

        Target.put = put_few  # type: ignore[method-assign]

    yield stop
    Target.put = put  # type: ignore[method-assign]


def preflight(stage: Stage, folder: Path) -> str:
    """The result or error of preflight's check of the manifest, on the bucket's `dags/`."""
    shutil.rmtree(folder, ignore_errors=True)
    keys = [key for key in stage.object_keys() if key.startswith("dags/")]
    for key in keys:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda key: stage.s3.download_file(stage.bucket, key, str(folder / key)), keys)
        )
    program = "from include.build import preflight; print(preflight.check_manifest())"
    ended = subprocess.run(
        [str(ROOT / ".venv/dbt/bin/python"), "-c", program],
        cwd=folder / "dags",
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.stdout or ended.stderr.splitlines()[-1]


def test_no_run_can_begin_after_an_interrupted_deploy(
    stage: Stage, tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    stage.run(updates=True)
    assert preflight(stage, tmp_path / "worker").startswith("manifest of ")
    for name in ("rpt_ltv", "rpt_retention"):
        model = stage.dist / "dags/dbt/models/marts/kpis" / f"{name}.sql"
        model.write_text(model.read_text() + "\n-- another line\n")
    # `make package` would write this fingerprint.
    program = "from include import manifest; print(manifest.fingerprint())"
    fingerprint = subprocess.run(
        [str(ROOT / ".venv/dbt/bin/python"), "-c", program],
        cwd=stage.dist / "dags",
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    (stage.dist / packaging.FINGERPRINT).write_text(fingerprint.stdout)
    manifest = stage.dist / packaging.MANIFEST
    manifest.write_text(manifest.read_text() + "\n")
    # Each deploy uploads one file: a model, the other model, the manifest.
    for _ in range(3):
        stop_after(1)
        with pytest.raises(UserError, match="the connection is lost"):
            stage.run(updates=False)
        error = preflight(stage, tmp_path / "worker")
        assert "was not made from the project's files as they are now. A deploy is in" in error
        assert "run `make deploy` again" in error
    stop_after(100)
    stage.run(updates=False)
    assert preflight(stage, tmp_path / "worker").startswith("manifest of ")


def test_a_deploy_that_cannot_work_is_refused_and_changes_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("is UPDATING: wait until it is AVAILABLE", {"Status": "UPDATING"}),
        ("has Airflow 2.10.3, the package is for 3.3.1", {"AirflowVersion": "2.10.3"}),
        ("reads the bucket another, not", {"SourceBucketArn": "arn:aws:s3:::another"}),
    ]
    for sentence, fields in cases:
        stage.used = fields
        with pytest.raises(UserError, match=sentence):
            stage.run(updates=False)
    stage.used = {}
    with stubbed_mwaa() as (mwaa, stubber):
        stubber.add_client_error("get_environment", "ResourceNotFoundException")
        target = Target(NAME, stage.bucket, s3=stage.s3, mwaa=mwaa)
        with pytest.raises(UserError, match=r"the environment games cannot be used.*ENVIRONMENT=…"):
            plan.make_plan(target, stage.dist)
    stage.s3.put_public_access_block(
        Bucket=stage.bucket,
        PublicAccessBlockConfiguration={"BlockPublicAcls": True, "IgnorePublicAcls": True},
    )
    with pytest.raises(UserError, match=r"public access \(BlockPublicPolicy, RestrictPublicBu"):
        stage.run(updates=False)
    stage.s3.delete_public_access_block(Bucket=stage.bucket)
    with pytest.raises(UserError, match="put-public-access-block"):
        stage.run(updates=False)
    stage.s3.put_bucket_versioning(
        Bucket=stage.bucket, VersioningConfiguration={"Status": "Suspended"}
    )
    with pytest.raises(UserError, match=r"keeps no versions.*put-bucket-versioning"):
        stage.run(updates=False)
    assert stage.object_keys() == set()
    stage.dist = tmp_path / "none"
    with pytest.raises(UserError, match="has no package: run `make package`"):
        stage.run(updates=False)


def test_a_package_of_another_checkout_or_for_another_bucket_is_refused(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan.check_package(package, BUCKET)
    with pytest.raises(UserError, match="WHEELS=1 BUCKET=another-bucket"):
        plan.check_package(package, "another-bucket")
    dist = tmp_path / "dist"
    shutil.copytree(package, dist, ignore=shutil.ignore_patterns("wheels"))
    (dist / "dags/include/build/kpis.py").write_text("")
    with pytest.raises(UserError, match=r"not made from .* \(dags/include/build/kpis.py\): run `"):
        plan.check_package(dist, BUCKET)
    (dist / "startup.sh").write_bytes(packaging.updates()["startup.sh"])
    monkeypatch.setattr(plan, "outdated", lambda _: [])
    monkeypatch.setattr(plan, "MAX_PLUGINS", 100)
    with pytest.raises(UserError, match="larger than 1 GB"):
        plan.check_package(dist, BUCKET)


def test_an_airflowignore_that_no_deploy_wrote_is_kept(stage: Stage) -> None:
    key = "dags/.airflowignore"
    stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=b"helpers/\ndbt/\n")
    with pytest.raises(UserError, match="lacks the lines include/: add"):
        stage.run(updates=False)
    complete = b"helpers/\ndbt/\ninclude/\n"
    stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=complete)
    stage.run(updates=True)
    assert stage.s3.get_object(Bucket=stage.bucket, Key=key)["Body"].read() == complete


def test_wheels_are_uploaded_first_and_never_deleted(stage: Stage) -> None:
    (stage.dist / "startup.sh").write_bytes(
        packaging.updates(f"s3://{stage.bucket}/wheels")["startup.sh"]
    )
    again = f"run `make package WHEELS=1 BUCKET={stage.bucket}`"
    with pytest.raises(UserError, match=rf"wheels has no wheels: {again}\.$"):
        stage.run(updates=False)
    wheel = stage.dist / "wheels/dbt/a-1-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(b"wheel")
    assert stage.run(updates=True)[0] == f"uploaded wheels/dbt/{wheel.name}"
    # Workers need the old wheel until the environment is updated.
    wheel.rename(wheel.with_name("a-2-py3-none-any.whl"))
    assert stage.run(updates=False) == ["uploaded wheels/dbt/a-2-py3-none-any.whl"]
    assert f"wheels/dbt/{wheel.name}" in stage.object_keys()


def test_missing_arguments_and_credentials_are_user_errors(tmp_path: Path) -> None:
    def error_of(*arguments: str) -> str:
        ended = subprocess.run(
            [
                str(ROOT / ".venv/airflow/bin/python"),
                "-m",
                "include.deployment.mwaa.deploy",
                *arguments,
            ],
            cwd=ROOT,
            env={
                **{"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        return ended.stderr

    assert (
        "a bucket and an environment: `make deploy BUCKET=<bucket> ENVIRONMENT=<name>`"
        in error_of()
    )
    assert "set AWS_PROFILE, or credentials and AWS_REGION" in error_of(
        "--bucket", "b", "--environment", "e"
    )
