"""The DAG on target `redshift`: the real scheduler, the secret in Secrets Manager, the stand-in.

One run over a late day, in which the faults of `faulted_run.py` strike. Its passwords must be
found nowhere. The tests share the run and go in order.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import psutil

from include.manifest import Manifest
from include.settings import ROOT
from tests.redshift.faulted_run import CASES, Case, FaultedRun
from tests.support.checkout import STEPS, Checkout, states
from tests.support.ministack import MiniStack
from tests.support.secrets_backend import BACKEND, SECRETS
from tests.support.standin_process import PYTHON, ClusterProcess

# The test looks for this text in all processes of the machine, where other runs of the test may be.
CANARY = f"Kanar1envogel-{uuid.uuid4().hex}"
ROTATED = f"{CANARY}-2"
BUCKET = "game-lake"
SAMPLE = ("--days", "5", "--players", "20", "--seed", "5", "--end", "2026-09-10")
LATE = ("raw_events/year=2026/month=09/day=09", "game_transactions/date=2026-09-09")
"""Two folders of one day. The largest file of each arrives after the first build."""
WRONG = "ledger_rows/game_transactions/date=2026-09-09/wrong.parquet"
WRITE_WRONG = """
import sys, pyarrow, pyarrow.parquet
pyarrow.parquet.write_table(pyarrow.table({"betid": [1]}), sys.argv[1])
"""
"""A program of dbt's environment, because Airflow's cannot write Parquet. The column `betid` should
be text.
"""
CONNECTION = "airflow/connections/redshift_default"


class Watch(threading.Thread):
    """Looks for the canary in every process of the machine, while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.in_commands: set[str] = set()
        self.in_environments: set[str] = set()

    def run(self) -> None:
        """Read all processes until `ended` is set."""
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
    """A checkout with its lake in S3 and its login in a secret."""
    checkout = Checkout.make(tmp_path_factory.mktemp("dag"))
    output = shutil.ignore_patterns("target", "logs")
    shutil.copytree(ROOT / "dbt", checkout.root / "dbt", ignore=output)
    assert checkout.run_dbt("include.manifest").returncode == 0
    assert checkout.run_dbt("include.lake", "generate", *SAMPLE).returncode == 0
    emulator.client("s3").create_bucket(Bucket=BUCKET)
    files = {path for path in checkout.lake.glob("[!_]*/**/*") if path.is_file()}
    late = {
        max((checkout.lake / day).iterdir(), key=lambda path: path.stat().st_size) for day in LATE
    }
    upload(checkout, emulator, files - late)
    emulator.client("secretsmanager").create_secret(
        Name=CONNECTION, SecretString=secret(cluster, CANARY)
    )
    built = checkout.run(
        "include.laptop.build",
        **on_redshift(emulator),
        **cluster.login("dbt", CANARY),
    )
    assert built.returncode == 0, built.stdout + built.stderr
    upload(checkout, emulator, late)
    return checkout


def upload(checkout: Checkout, emulator: MiniStack, files: Iterable[Path]) -> None:
    """Copy files of the checkout's lake into the bucket."""
    for path in files:
        key = f"lake/{path.relative_to(checkout.lake).as_posix()}"
        emulator.client("s3").put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())


def secret(cluster: ClusterProcess, password: str) -> str:
    """The login in the format of AWS's rotation."""
    return json.dumps(
        {
            "engine": "redshift",
            "host": cluster.host,
            "port": cluster.port,
            "username": "dbt",
            "password": password,
            "dbname": cluster.dbname,
        }
    )


def on_redshift(emulator: MiniStack) -> dict[str, str]:
    """The variables of a command that reads the bucket and builds on Redshift."""
    return {
        "GAME_ANALYTICS_TARGET": "redshift",
        "GAME_ANALYTICS_LAKE": f"s3://{BUCKET}/lake",
        **emulator.environment(),
    }


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="module")
def run(
    checkout: Checkout,
    emulator: MiniStack,
    cluster: ClusterProcess,
    watch: Watch,
    tmp_path_factory: pytest.TempPathFactory,
) -> FaultedRun:
    """The only `make run`, after its end."""
    s3, key = emulator.client("s3"), f"lake/{WRONG}"
    wrong = tmp_path_factory.mktemp("wrong") / Path(WRONG).name
    subprocess.run([str(PYTHON), "-c", WRITE_WRONG, str(wrong)], check=True)

    def start() -> subprocess.Popen[str]:
        return checkout.start(
            "include.laptop.run",
            **on_redshift(emulator),
            **cluster.trust(),
            AIRFLOW__SECRETS__BACKEND=BACKEND,
            AIRFLOW__SECRETS__BACKEND_KWARGS=SECRETS,
            AIRFLOW__WORKERS__SECRETS_BACKEND=BACKEND,
            AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS=SECRETS,
            # The default of `make run`: the test must see a task while it waits for its retry.
            AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY="5",
        )

    def rotate() -> None:
        cluster.set_password("dbt", ROTATED)
        emulator.client("secretsmanager").put_secret_value(
            SecretId=CONNECTION, SecretString=secret(cluster, ROTATED)
        )

    run = FaultedRun(
        cluster,
        Manifest.read(checkout.root / "dbt/target/manifest.json"),
        arrive=lambda: s3.put_object(Bucket=BUCKET, Key=key, Body=wrong.read_bytes()),
        leave=lambda: s3.delete_object(Bucket=BUCKET, Key=key),
        rotate=rotate,
    )
    watch.start()
    code = run.follow(start)
    watch.ended.set()
    print(run.output)
    assert code == 0
    return run


def log(checkout: Checkout, task: str, attempt: int) -> str:
    """The whole log of one try of a task."""
    return "\n".join(
        path.read_text(errors="replace")
        for path in (checkout.root / ".airflow/logs").rglob(f"attempt={attempt}.log*")
        if f"task_id={task}/" in str(path)
    )


def test_tasks_with_a_fault_succeed_on_their_second_try_and_all_others_on_their_first(
    run: FaultedRun,
) -> None:
    nodes = {run.manifest.task_id(node) for node in run.manifest.built}
    tasks = nodes | STEPS | {"unlock"}
    found = states(run.output, tasks)
    # dbt itself also opens a connection with the old password.
    struck = {"dbt_build", *(case.task for case in CASES)}
    assert {task: found.pop(task) for task in struck} == {
        task: ["up_for_retry", "success"] for task in struck
    }
    assert found == {task: ["success"] for task in tasks - struck}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.task)
def test_the_log_names_the_model_and_the_remedy(
    checkout: Checkout, run: FaultedRun, case: Case
) -> None:
    (node,) = [node for node in run.manifest.nodes.values() if node["name"] == case.task]
    logged = log(checkout, case.task, 1)
    file = node["original_file_path"]
    if case.fault == "expired_credentials" and f"test {case.task}" in logged:
        # dbt has read this node before the lock of the node above it was taken. Then not the node
        # itself but its tests meet the changed password.
        assert re.search(rf"test {case.task}\w* had an error: ", logged)
        file = file.replace(".sql", ".yml")
    else:
        assert f"model {case.task} had an error: " in logged
    assert case.message in logged
    assert re.search(rf"do:   [^\\]*{re.escape(case.remedy)}", logged)
    assert f"file: dbt/{file}" in logged
    assert " had an error: " not in log(checkout, case.task, 2)


def test_a_rotated_password_is_one_line_of_the_output(run: FaultedRun) -> None:
    (line,) = [line for line in run.output.splitlines() if "dbt could not finish" in line]
    assert "password authentication failed" in line
    assert "correct the secret of the connection, then clear the task" in line


def test_a_fault_that_a_retry_repairs_sends_no_alert(checkout: Checkout, run: FaultedRun) -> None:
    assert run.output
    logs = list((checkout.root / ".airflow/logs").rglob("*.log"))
    assert len(logs) > len(run.manifest.built)
    assert not [path for path in logs if "ALERT " in path.read_text(errors="replace")]


def test_old_rows_stay_readable_until_a_retry_has_made_the_new_ones(run: FaultedRun) -> None:
    # dbt had deleted rows of this table when the connection was lost, and the retry writes them.
    assert run.old["stg_game_events"]
    assert run.struck == run.old
    changed = {task for task, rows in run.new.items() if rows != run.old[task]}
    assert changed >= {"stg_game_events", "int_bets"}


def test_the_password_is_in_no_file(checkout: Checkout, run: FaultedRun) -> None:
    """Look in logs, in the database (rendered templates, XComs, task state), in artifacts and in
    dbt's parse cache.
    """
    assert CANARY not in run.output
    looked = 0
    for path in checkout.root.rglob("*"):
        if path.is_file() and ".venv" not in path.relative_to(checkout.root).parts:
            looked += 1
            assert CANARY.encode() not in path.read_bytes(), path
    assert looked > 200


def test_the_password_is_in_no_command_and_in_dbt_s_environment_alone(
    run: FaultedRun, watch: Watch
) -> None:
    """dbt reads the password from its environment, which only the same user and root can read."""
    assert run.output
    assert watch.in_commands == set()
    assert watch.in_environments, "the watch has found the password in no process"
    for command in watch.in_environments:
        # Python's module `platform` starts `uname` as a child of dbt's process.
        assert ".venv/dbt/bin/" in command or command == "uname -p", command


def test_every_query_has_the_label_of_its_task(cluster: ClusterProcess, run: FaultedRun) -> None:
    assert run.output
    groups = {query["query_group"] for query in cluster.queries() if query["query_group"]}
    ours = {group for group in groups if group.startswith("game_analytics/make_run__")}
    of_models = {group.rsplit("/", 1)[-1] for group in ours}
    assert {"stg_game_events", "int_events", "rpt_ltv", "snap_ledger_players"} <= of_models
    scans = {scan["query_group"].rsplit("/", 1)[-1] for scan in cluster.scans()}
    assert scans >= {"stg_game_events", "int_bets"}


def test_its_marts_are_those_of_a_build_on_duckdb(
    checkout: Checkout, emulator: MiniStack, cluster: ClusterProcess, run: FaultedRun
) -> None:
    assert run.output
    built = checkout.run("include.laptop.build")
    assert built.returncode == 0, built.stdout + built.stderr
    compared = subprocess.run(
        [
            str(ROOT / ".venv/dbt/bin/python"),
            *("-m", "tests.redshift.compared", str(checkout.root / "data/warehouse.duckdb")),
            f"s3://{BUCKET}/lake",
        ],
        cwd=ROOT,
        env={**checkout.environment, **emulator.environment(), **cluster.login("dbt", ROTATED)}
        | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "marts.rpt_daily_kpis" in compared.stdout
