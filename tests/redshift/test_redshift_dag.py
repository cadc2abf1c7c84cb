"""The DAG on target `redshift`: the real scheduler, the secret in Secrets Manager, the stand-in.

One run, in which one model is hit by a serialization error; its password must be seen nowhere.
The tests share the run and go in order.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import psutil

from include.manifest import BUILT_TYPES
from include.settings import ROOT
from tests.aws.ministack import MiniStack
from tests.pipeline.checkout import Checkout, states
from tests.pipeline.test_real_run import STEPS
from tests.redshift.cluster_process import ClusterProcess

CANARY = "Kanar1envogel-im-Bergwerk"
BUCKET = "game-lake"
SAMPLE = ("--days", "5", "--players", "20", "--seed", "5", "--end", "2026-09-10")
SECRETS = json.dumps(
    {
        "connections_prefix": "airflow/connections",
        "variables_prefix": None,
        "config_prefix": None,
        "extra_conn_words": {"schema": ["dbname"]},
    }
)
BACKEND = "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend"


class Watch(threading.Thread):
    """Looks for the canary in every process of the machine, while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.in_commands: set[str] = set()
        self.in_environments: set[str] = set()

    def run(self) -> None:
        """Look until told to end."""
        while not self.ended.wait(0.1):
            for process in psutil.process_iter():
                try:
                    command = " ".join(process.cmdline())
                    if CANARY in command:
                        self.in_commands.add(command)
                    if any(CANARY in value for value in process.environ().values()):
                        self.in_environments.add(command)
                except psutil.Error:
                    continue


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack.start(tmp_path_factory.mktemp("ministack")) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, emulator: MiniStack
) -> Iterator[ClusterProcess]:
    folder = tmp_path_factory.mktemp("redshift")
    with ClusterProcess.start(folder, emulator.environment()) as cluster:
        cluster.bootstrap(password=CANARY)
        yield cluster


@pytest.fixture(scope="module")
def checkout(
    tmp_path_factory: pytest.TempPathFactory, emulator: MiniStack, cluster: ClusterProcess
) -> Checkout:
    """A checkout whose lake lies in S3, and whose login is a secret."""
    checkout = Checkout.make(tmp_path_factory.mktemp("dag"))
    output = shutil.ignore_patterns("target", "logs")
    shutil.copytree(ROOT / "dbt", checkout.root / "dbt", ignore=output)
    assert checkout.run_dbt("include.manifest").returncode == 0
    assert checkout.run_dbt("include.lake", "generate", *SAMPLE).returncode == 0
    compacted = checkout.run_dbt("include.lake", "compact", "--source", "game_transactions")
    assert compacted.returncode == 0, compacted.stderr
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for path in checkout.lake.rglob("*"):
        name = path.relative_to(checkout.lake).as_posix()
        if path.is_file() and not name.startswith("_"):
            s3.put_object(Bucket=BUCKET, Key=f"lake/{name}", Body=path.read_bytes())
    emulator.client("secretsmanager").create_secret(
        Name="airflow/connections/redshift_default",
        SecretString=json.dumps(
            {
                "engine": "redshift",
                "host": cluster.host,
                "port": cluster.port,
                "username": "dbt",
                "password": CANARY,
                "dbname": cluster.dbname,
            }
        ),
    )
    return checkout


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="module")
def output(checkout: Checkout, emulator: MiniStack, cluster: ClusterProcess, watch: Watch) -> str:
    """What `make run` prints."""
    cluster.inject("/rpt_ltv_overall$", "serializable_conflict")
    watch.start()
    ended = checkout.run(
        "include.laptop.run",
        GAME_ANALYTICS_TARGET="redshift",
        GAME_ANALYTICS_LAKE=f"s3://{BUCKET}/lake",
        AIRFLOW__SECRETS__BACKEND=BACKEND,
        AIRFLOW__SECRETS__BACKEND_KWARGS=SECRETS,
        AIRFLOW__WORKERS__SECRETS_BACKEND=BACKEND,
        AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS=SECRETS,
        **emulator.environment(),
        **cluster.trust(),
    )
    watch.ended.set()
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0
    return ended.stdout


def test_every_task_succeeds_one_of_them_on_its_second_try(checkout: Checkout, output: str) -> None:
    manifest = json.loads((checkout.root / "dbt/target/manifest.json").read_text())
    nodes = {
        node["name"] for node in manifest["nodes"].values() if node["resource_type"] in BUILT_TYPES
    }
    steps = STEPS | {"unlock"}
    found = states(output, nodes | steps)
    assert found.pop("rpt_ltv_overall") == ["up_for_retry", "success"]
    assert found == {task: ["success"] for task in (nodes | steps) - {"rpt_ltv_overall"}}


def test_the_log_names_the_model_and_the_remedy(checkout: Checkout, output: str) -> None:
    assert output
    logs = [
        path.read_text(errors="replace")
        for path in (checkout.root / ".airflow/logs").rglob("*.log")
        if "task_id=rpt_ltv_overall" in str(path)
    ]
    said = "\n".join(logs)
    assert "model rpt_ltv_overall broke: Database Error in model rpt_ltv_overall" in said
    assert "1023" in said
    assert "another transaction wrote the same table: clear the task" in said
    assert "dbt/models/marts/kpis/rpt_ltv_overall.sql" in said


def test_the_password_is_in_no_file(checkout: Checkout, output: str) -> None:
    """Logs, rendered templates, XComs and task state (in the database), artifacts, dbt's parse."""
    assert CANARY not in output
    looked = 0
    for path in checkout.root.rglob("*"):
        if path.is_file() and ".venv" not in path.relative_to(checkout.root).parts:
            looked += 1
            assert CANARY.encode() not in path.read_bytes(), path
    assert looked > 200


def test_the_password_is_in_no_command_and_in_dbt_s_environment_alone(
    output: str, watch: Watch
) -> None:
    """dbt has no other way to be told; whoever reads that is this user, or root."""
    assert output
    assert watch.in_commands == set()
    assert watch.in_environments, "the watch has seen nothing at all"
    for command in watch.in_environments:
        assert ".venv/dbt/bin/" in command, command


def test_every_query_says_which_task_it_served(cluster: ClusterProcess, output: str) -> None:
    assert output
    groups = {query["query_group"] for query in cluster.queries() if query["query_group"]}
    ours = {group for group in groups if group.startswith("game_analytics/make_run__")}
    of_models = {group.rsplit("/", 1)[-1] for group in ours}
    assert {"stg_game_events", "int_events", "rpt_ltv", "snap_ledger_players"} <= of_models
    scans = {scan["query_group"].rsplit("/", 1)[-1] for scan in cluster.scans()}
    assert scans >= {"int_events", "int_bets"}


def test_its_marts_are_those_of_a_build_on_duckdb(
    checkout: Checkout, emulator: MiniStack, cluster: ClusterProcess, output: str
) -> None:
    assert output
    built = checkout.run("include.laptop.build")
    assert built.returncode == 0, built.stdout + built.stderr
    compared = subprocess.run(
        [
            str(ROOT / ".venv/dbt/bin/python"),
            *("-m", "tests.redshift.compared", str(checkout.root / "data/warehouse.duckdb")),
            f"s3://{BUCKET}/lake",
        ],
        cwd=ROOT,
        env={**checkout.environment, **emulator.environment(), **cluster.login("dbt", CANARY)}
        | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "marts.rpt_daily_kpis" in compared.stdout
