"""The package in a replica of MWAA's image (`tests/mwaa/image.py`), from the bucket to a full run.

The image has no package index, so the missing packages come as wheels from the bucket. The DAG
runs on target `redshift` against the stand-in. Its login is in Secrets Manager, and all settings
are configuration options of the environment. The tests share the image and depend on their order.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from botocore.stub import ANY

from include.deployment.mwaa import deploy, plan
from include.deployment.mwaa.target import Target
from include.manifest import BUILT_TYPES
from tests.mwaa.conftest import BUCKET, NAME, described, make_bucket, stubbed_mwaa
from tests.mwaa.image import STARTUP_SECONDS, Image
from tests.support.checkout import STEPS, Checkout
from tests.support.ministack import MiniStack
from tests.support.secrets_backend import BACKEND, SECRETS
from tests.support.standin_process import ClusterProcess

PASSWORD = "Aa1-of-the-user-dbt"  # noqa: S105 - of a stand-in
LAKE = "game-lake"
SAMPLE = ("--days", "3", "--players", "10", "--seed", "5", "--end", "2026-09-10")
DAGBAG = """
import json
from pathlib import Path
from airflow.configuration import conf
from airflow.dag_processing.dagbag import BundleDagBag
folder = Path(conf.get("core", "dags_folder"))
bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
print(json.dumps({"dags": sorted(bag.dags), "errors": bag.import_errors}))
"""


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, emulator: MiniStack
) -> Iterator[ClusterProcess]:
    folder = tmp_path_factory.mktemp("redshift")
    with ClusterProcess.start(folder, emulator.environment()) as cluster:
        cluster.bootstrap(password=PASSWORD)
        yield cluster


@pytest.fixture(scope="module")
def lake(package: Path, tmp_path_factory: pytest.TempPathFactory, emulator: MiniStack) -> str:
    """The sample's events and bets in S3; returns the prefix."""
    checkout = Checkout.make(tmp_path_factory.mktemp("lake"))
    shutil.copytree(package / "dags" / "dbt", checkout.root / "dbt")
    made = checkout.run_dbt("include.lake", "generate", *SAMPLE)
    assert made.returncode == 0, made.stderr
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=LAKE)
    for path in checkout.lake.rglob("*"):
        name = path.relative_to(checkout.lake).as_posix()
        if path.is_file() and not name.startswith("_"):
            s3.put_object(Bucket=LAKE, Key=f"lake/{name}", Body=path.read_bytes())
    return f"s3://{LAKE}/lake"


@pytest.fixture(scope="module")
def secret(emulator: MiniStack, cluster: ClusterProcess) -> None:
    """The login of the stand-in, in the format that AWS's rotation writes."""
    emulator.client("secretsmanager").create_secret(
        Name="airflow/connections/redshift_default",
        SecretString=json.dumps(
            {
                "engine": "redshift",
                "host": cluster.host,
                "port": cluster.port,
                "username": "dbt",
                "password": PASSWORD,
                "dbname": cluster.dbname,
            }
        ),
    )


@pytest.fixture(scope="module")
def deployed(package: Path, emulator: MiniStack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what MWAA downloads from the bucket after `make deploy`."""
    s3 = make_bucket(emulator, BUCKET)
    with stubbed_mwaa() as (mwaa, stubber):
        stubber.add_response("get_environment", described(BUCKET), {"Name": NAME})
        stubber.add_response("update_environment", {}, dict.fromkeys(UPDATED, ANY))
        target = Target(NAME, BUCKET, s3=s3, mwaa=mwaa)
        deploy.deploy(target, plan.make_plan(target, package), report=lambda _: None)
        stubber.assert_no_pending_responses()
    folder = tmp_path_factory.mktemp("fetched")
    for key in target.objects(""):
        if not key.startswith("wheels/"):
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(BUCKET, key, str(folder / key))
    return folder


UPDATED = (
    *("Name", "WorkerReplacementStrategy", "PluginsS3Path", "PluginsS3ObjectVersion"),
    *("RequirementsS3Path", "RequirementsS3ObjectVersion"),
    *("StartupScriptS3Path", "StartupScriptS3ObjectVersion"),
)


@pytest.fixture(scope="module")
def image(
    deployed: Path,
    emulator: MiniStack,
    cluster: ClusterProcess,
    lake: str,
    secret: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Image]:
    """The image with the package, before any component is started."""
    options = {
        "AIRFLOW__GAME_ANALYTICS__TARGET": "redshift",
        "AIRFLOW__GAME_ANALYTICS__LAKE": lake,
        "AIRFLOW__GAME_ANALYTICS__DOCS": f"{lake}-site",
        "AIRFLOW__GAME_ANALYTICS__SCHEDULE": "none",
        "AIRFLOW__SECRETS__BACKEND": BACKEND,
        "AIRFLOW__SECRETS__BACKEND_KWARGS": SECRETS,
        "AIRFLOW__WORKERS__SECRETS_BACKEND": BACKEND,
        "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": SECRETS,
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    }
    image = Image(
        tmp_path_factory.mktemp("mwaa"), options, {**emulator.environment(), **cluster.trust()}
    )
    image.build()
    image.put(deployed)
    yield image
    print({name: round(seconds, 1) for name, seconds in image.seconds.items()})


def test_a_worker_without_wheels_starts_and_names_the_reason(image: Image) -> None:
    script = image.home / "startup" / "startup.sh"
    whole = script.read_text()
    script.write_text(whole.replace(f"s3://{BUCKET}/wheels", f"s3://{BUCKET}/none"))
    try:
        output = image.start_up("worker")
    finally:
        script.write_text(whole)
    assert "game-analytics: ERROR: the wheels for requirements.txt cannot be downloaded" in output
    reason = f"there are no wheels at s3://{BUCKET}/none/dbt/"
    assert f"dbt's environment was not built: {reason}" in output
    assert "make package WHEELS=1" in output
    program = "import sys; from include import manifest as m; print(m.install_dbt(sys.argv[1]))"
    dbt = image.exported["worker"]["GAME_ANALYTICS_DBT_EXECUTABLE"]
    # This needs only msgspec, which the image's own Python has.
    remedy = image.run(str(image.python), "-c", program, dbt, cwd=image.dags)
    assert f"startup.sh reported: {reason}" in remedy.stdout, remedy.stderr
    assert "make deploy" in remedy.stdout
    assert not Path(dbt).parent.exists()


def test_only_workers_install_dbt(image: Image) -> None:
    for component in ("scheduler", "webserver"):
        output = image.start_up(component)
        assert f"game-analytics: {component} runs no dbt" in output
        assert "ERROR" not in output
        assert image.seconds[f"startup.sh on {component}"] < 60
    dbt = Path(image.exported["scheduler"]["GAME_ANALYTICS_DBT_EXECUTABLE"])
    assert not dbt.exists()
    assert "dbt's environment built" in image.start_up("worker")
    assert image.seconds["startup.sh on worker"] < STARTUP_SECONDS
    assert "dbt's environment exists already" in image.start_up("hybrid")
    ran = image.run(str(dbt), "--version")
    assert "redshift: 1.11.1" in ran.stdout, ran.stdout + ran.stderr


def test_the_requirements_fit_under_mwaas_constraints(image: Image) -> None:
    output = image.install_requirements()
    assert "astronomer-cosmos-1.15.1" in output
    # The packages of the image itself are not replaced.
    assert "Uninstalling" not in output


def test_the_dags_load(image: Image) -> None:
    image.migrate()
    loaded = image.run(str(image.python), "-c", DAGBAG, component="scheduler")
    assert loaded.returncode == 0, loaded.stderr
    found = json.loads(loaded.stdout.splitlines()[-1])
    assert found["errors"] == {}
    expected = sorted(path.stem for path in image.dags.glob("*.py"))
    assert "game_analytics" in expected
    assert found["dags"] == expected


def test_the_dag_runs(image: Image, cluster: ClusterProcess) -> None:
    before = image.dag_files()
    with image.up() as client:
        image.until("the DAG is listed", lambda: client.get("/dags/game_analytics"))
        assert client.get("/importErrors")["import_errors"] == []
        client.unpause()
        client.trigger("first")
        began = time.monotonic()
        image.until("the run ends", lambda: client.run_state("first") in {"success", "failed"})
        image.seconds["run"] = time.monotonic() - began
        tasks: list[dict[str, Any]] = client.tasks("first")
        ended = {task["task_id"]: (task["state"], task["try_number"]) for task in tasks}
        bad = {
            task: client.error("first", task, attempt)
            for task, (state, attempt) in ended.items()
            if state != "success"
        }
        assert client.run_state("first") == "success", bad
    manifest = json.loads((image.dags / "dbt/target/manifest.json").read_text())
    nodes = {
        node["name"] for node in manifest["nodes"].values() if node["resource_type"] in BUILT_TYPES
    }
    assert {task: state for task, (state, _) in ended.items()} == dict.fromkeys(
        nodes | STEPS | {"unlock"}, "success"
    )
    groups = {query["query_group"] for query in cluster.queries() if query["query_group"]}
    assert "rpt_ltv" in {group.rsplit("/", 1)[-1] for group in groups}
    assert image.dag_files() == before
