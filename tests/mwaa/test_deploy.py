"""`make deploy`: to an S3 emulator, and to a stub of MWAA's API, of which there is no emulator.

The stub is botocore's: it checks that the requests are what AWS's own model of the API takes.
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

from include.deployment.mwaa import deploy
from include.deployment.mwaa import package as packaging
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
    """A bucket with an environment on it, and packages to bring there."""

    def __init__(self, emulator: MiniStack, bucket: str, dist: Path) -> None:
        self.bucket = bucket
        self.dist = dist
        self.s3 = make_bucket(emulator, bucket)
        self.used: dict[str, str] = {}

    def run(
        self,
        *,
        updates: bool,
        plan: bool = False,
        force: bool = False,
        replace: bool = False,
        name: str = NAME,
    ) -> list[str]:
        """Deploy, and say what was done; the stub fails if MWAA is asked for anything else."""
        said: list[str] = []
        with stubbed_mwaa() as (mwaa, stubber):
            if name:
                stubber.add_response(
                    "get_environment", described(self.bucket, **self.used), {"Name": name}
                )
            target = deploy.Target(name, self.bucket, s3=self.s3, mwaa=mwaa)
            planned = deploy.plan(target, self.dist, force=force, replace_others=replace)
            if plan:
                return list(planned.lines())
            if updates:
                stubber.add_response("update_environment", {"Arn": "arn:aws:airflow:x"})
            told: dict[str, Any] = {}
            mwaa.meta.events.register(
                "provide-client-params.mwaa.UpdateEnvironment",
                lambda params, **_: told.update(params),
            )
            deploy.deploy(target, planned, said.append)
            stubber.assert_no_pending_responses()
        self.told = told
        if told:
            self.used |= {
                name: value for name, value in told.items() if name.endswith(("Path", "Version"))
            }
        return said

    def there(self) -> set[str]:
        """What lies in the bucket."""
        found = self.s3.list_objects_v2(Bucket=self.bucket, MaxKeys=1000)
        return {entry["Key"] for entry in found.get("Contents", [])}

    def versions(self) -> int:
        """How many versions of objects the bucket has, with the marks of what is deleted."""
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
    """A bucket of its own, and a package without wheels that the tests may change."""
    dist = tmp_path / "dist"
    shutil.copytree(package, dist, ignore=shutil.ignore_patterns("wheels"))
    for name, content in packaging.updates().items():
        (dist / name).write_bytes(content)
    # What the tests change in the package stands for what changes in the tree.
    monkeypatch.setattr(deploy, "outdated", lambda _: [])
    number = abs(hash(request.node.name)) % 10**8
    return Stage(emulator, f"{BUCKET}-{number}", dist)


def test_a_first_deploy_and_one_with_nothing_to_do(stage: Stage) -> None:
    planned = stage.run(updates=False, plan=True)
    assert stage.there() == set()
    assert f"upload s3://{stage.bucket}/dags/game_analytics.py" in planned
    assert planned[-1].startswith(f"update environment {NAME}: plugins.zip, requirements.txt")
    said = stage.run(updates=True)
    expected = {
        path.relative_to(stage.dist).as_posix() for path in stage.dist.rglob("*") if path.is_file()
    }
    assert stage.there() == expected
    ours = [line.removeprefix("uploaded ") for line in said if line.startswith("uploaded dags/")]
    assert ours[-2:] == ["dags/dbt/target/manifest.json", "dags/dbt/target/manifest.fingerprint"]
    assert stage.told["WorkerReplacementStrategy"] == "GRACEFUL"
    for key, version in VERSIONS.items():
        head = stage.s3.head_object(Bucket=stage.bucket, Key=key)
        assert stage.told[version] == head["VersionId"] != "null"
    assert stage.run(updates=False, plan=True) == ["nothing to do"]
    assert stage.run(updates=False) == []
    assert stage.run(updates=True, force=True)[-1].startswith(f"{NAME} is being updated")
    assert set(stage.told) == {"Name", "WorkerReplacementStrategy"}


def test_a_change_moves_what_has_changed_and_removes_what_is_gone(stage: Stage) -> None:
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
    assert {"dags/others.py", "dags/others/include/x.py", "elsewhere/dbt/y.sql"} <= stage.there()
    # A new plugin alone is a new version of one file.
    (stage.dist / "plugins.zip").write_bytes(b"another")
    assert stage.run(updates=True)[0] == "uploaded plugins.zip"
    told = {"Name", "WorkerReplacementStrategy", "PluginsS3Path", "PluginsS3ObjectVersion"}
    assert set(stage.told) == told


def test_what_no_deploy_wrote_stays(stage: Stage) -> None:
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
    assert others <= stage.there()
    # What has to be there and is another's is named, all of it, and nothing is changed.
    taken = ("dags/include/settings.py", "plugins.zip", "requirements.txt", "startup.sh")
    for key in taken:
        stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=b"of others")
    stage.used = {}
    before = stage.versions()
    named = " and ".join(f"s3://{stage.bucket}/{key}" for key in taken)
    with pytest.raises(UserError, match=f"no deploy of this package wrote {named}: name an env"):
        stage.run(updates=False)
    assert stage.versions() == before
    said = stage.run(updates=True, replace=True)
    assert {line.removeprefix("uploaded ") for line in said[:-1]} == set(taken)


def test_files_that_were_there_before_the_environment(stage: Stage) -> None:
    planned = stage.run(updates=False, plan=True, name="")
    assert f"upload s3://{stage.bucket}/plugins.zip" in planned
    assert not any(line.startswith("update") for line in planned)
    assert "uploaded startup.sh" in stage.run(updates=False, name="")
    assert stage.run(updates=False, plan=True, name="") == ["nothing to do"]
    # The environment is made with them.
    heads = {key: stage.s3.head_object(Bucket=stage.bucket, Key=key) for key in VERSIONS}
    versions = {VERSIONS[key]: head["VersionId"] for key, head in heads.items()}
    stage.used = {**USED, **versions}
    assert stage.run(updates=False) == []
    # The same, copied by hand: what has the same content is the same file.
    for key, version in VERSIONS.items():
        copied = (stage.dist / key).read_bytes()
        written = stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=copied)
        stage.used[version] = written["VersionId"]
    assert stage.run(updates=False) == []


def test_under_kms_an_etag_says_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run(updates=True)
    listed = deploy.Target.objects

    def scrambled(self: deploy.Target, prefix: str) -> dict[str, dict[str, Any]]:
        found = listed(self, prefix)
        return {key: {**entry, "ETag": '"of-a-key"'} for key, entry in found.items()}

    monkeypatch.setattr(deploy.Target, "objects", scrambled)
    assert stage.run(updates=False) == []


def test_an_update_that_failed_is_made_up_for(stage: Stage) -> None:
    stage.run(updates=True)
    used = dict(stage.used)
    (stage.dist / "startup.sh").write_text("# another")
    stage.run(updates=True)
    # MWAA rolled back: it still uses what it had.
    stage.used = used
    assert stage.run(updates=True)[0] == "uploaded startup.sh"


@pytest.fixture
def stop_after() -> Iterator[Callable[[int], None]]:
    """Lets a deploy lose its connection after so many objects."""
    put = deploy.Target.put

    def stop(number: int) -> None:
        written: list[str] = []

        def put_few(self: deploy.Target, key: str, path: Path) -> str:
            if len(written) >= number:
                raise UserError("the connection is lost")
            written.append(key)
            return put(self, key, path)

        deploy.Target.put = put_few  # type: ignore[method-assign]

    yield stop
    deploy.Target.put = put  # type: ignore[method-assign]


def preflight(stage: Stage, folder: Path) -> str:
    """What `check_manifest` says of the bucket's `dags/`, as a worker has it."""
    shutil.rmtree(folder, ignore_errors=True)
    keys = [key for key in stage.there() if key.startswith("dags/")]
    for key in keys:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda key: stage.s3.download_file(stage.bucket, key, str(folder / key)), keys)
        )
    program = "from include import preflight; print(preflight.check_manifest())"
    ended = subprocess.run(
        [str(ROOT / ".venv/dbt/bin/python"), "-c", program],
        cwd=folder / "dags",
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.stdout or ended.stderr.splitlines()[-1]


def test_a_deploy_that_was_cut_off_lets_no_run_begin(
    stage: Stage, tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    stage.run(updates=True)
    assert preflight(stage, tmp_path / "worker").startswith("manifest of ")
    for name in ("rpt_ltv", "rpt_retention"):
        model = stage.dist / "dags/dbt/models/marts/kpis" / f"{name}.sql"
        model.write_text(model.read_text() + "\n-- another line\n")
    # As `make package` would write it.
    program = "from include import manifest; print(manifest.fingerprint())"
    taken = subprocess.run(
        [str(ROOT / ".venv/dbt/bin/python"), "-c", program],
        cwd=stage.dist / "dags",
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    (stage.dist / packaging.FINGERPRINT).write_text(taken.stdout)
    manifest = stage.dist / packaging.MANIFEST
    manifest.write_text(manifest.read_text() + "\n")
    # One model of two; the other one; the manifest: each time a deploy goes on where one ended.
    for _ in range(3):
        stop_after(1)
        with pytest.raises(UserError, match="the connection is lost"):
            stage.run(updates=False)
        said = preflight(stage, tmp_path / "worker")
        assert "was not made from the project's files as they are now. A deploy is under" in said
        assert "run `make deploy` again" in said
    stop_after(100)
    stage.run(updates=False)
    assert preflight(stage, tmp_path / "worker").startswith("manifest of ")


def test_what_cannot_work_is_one_sentence_and_changes_nothing(stage: Stage, tmp_path: Path) -> None:
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
        target = deploy.Target(NAME, stage.bucket, s3=stage.s3, mwaa=mwaa)
        with pytest.raises(UserError, match=r"the environment games was refused.*ENVIRONMENT=…"):
            deploy.plan(target, stage.dist)
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
    assert stage.there() == set()
    stage.dist = tmp_path / "none"
    with pytest.raises(UserError, match="holds no package: run `make package`"):
        stage.run(updates=False)


def test_a_package_of_another_tree_or_for_another_bucket(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy.check_package(package, BUCKET)
    with pytest.raises(UserError, match="WHEELS=1 BUCKET=another-bucket"):
        deploy.check_package(package, "another-bucket")
    dist = tmp_path / "dist"
    shutil.copytree(package, dist, ignore=shutil.ignore_patterns("wheels"))
    (dist / "dags/include/build/kpis.py").write_text("")
    with pytest.raises(UserError, match=r"of other files \(dags/include/build/kpis.py\): run `"):
        deploy.check_package(dist, BUCKET)
    (dist / "startup.sh").write_bytes(packaging.updates()["startup.sh"])
    monkeypatch.setattr(deploy, "outdated", lambda _: [])
    monkeypatch.setattr(deploy, "MAX_PLUGINS", 100)
    with pytest.raises(UserError, match="larger than 1 GB"):
        deploy.check_package(dist, BUCKET)


def test_an_airflowignore_of_others_stays(stage: Stage) -> None:
    key = "dags/.airflowignore"
    stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=b"helpers/\ndbt/\n")
    with pytest.raises(UserError, match="is another's and says nothing of include/: add"):
        stage.run(updates=False)
    mine = b"helpers/\ndbt/\ninclude/\n"
    stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=mine)
    stage.run(updates=True)
    assert stage.s3.get_object(Bucket=stage.bucket, Key=key)["Body"].read() == mine


def test_wheels_go_first_and_stay(stage: Stage) -> None:
    (stage.dist / "startup.sh").write_bytes(
        packaging.updates(f"s3://{stage.bucket}/wheels")["startup.sh"]
    )
    with pytest.raises(UserError, match="wheels is gone: run `make package` with WHEELS=1"):
        stage.run(updates=False)
    wheel = stage.dist / "wheels/dbt/a-1-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(b"wheel")
    assert stage.run(updates=True)[0] == f"uploaded wheels/dbt/{wheel.name}"
    # Until the environment is updated, workers look for the old one.
    wheel.rename(wheel.with_name("a-2-py3-none-any.whl"))
    assert stage.run(updates=False) == ["uploaded wheels/dbt/a-2-py3-none-any.whl"]
    assert f"wheels/dbt/{wheel.name}" in stage.there()


def test_without_credentials_or_arguments(tmp_path: Path) -> None:
    def ran(*arguments: str) -> str:
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

    assert "say where to: `make deploy BUCKET=<bucket> ENVIRONMENT=<name>`" in ran()
    assert "set AWS_PROFILE, or credentials and AWS_REGION" in ran(
        "--bucket", "b", "--environment", "e"
    )
