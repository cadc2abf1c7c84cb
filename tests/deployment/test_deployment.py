"""A complete deployment: stacks, image, state machine, DAG on Fargate, marts.

All tests of the file share one account and depend on their order.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import psutil

from include.manifest import BUILT_TYPES
from include.orchestration.watcher.nodes import PRODUCER
from tests.deployment.deployment import CANARY, Deployment
from tests.support.airflow_cluster import Cluster

MODEL = "rpt_ltv_overall"
"""The model that fails by a conflict in the build's container, then by too little memory alone."""
TOO_LITTLE, ENOUGH = 100, 4096
"""The memory of a container in MB. dbt needs 190 MB to start."""
OUT_OF_MEMORY = (
    "ran out of memory (OutOfMemoryError: Container killed due to memory usage): give the task "
    "definition more memory (parameter TaskMemory of include/aws/build.yaml), then clear this task."
)
AT_WORK, FOLLOWS = "Its report lies in", ", which an earlier try has started."
SHORT_TIMEOUTS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    # The test does not kill scheduler or triggerer, but a busy machine delays their heartbeats.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "120",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "120",
}
"""The scheduler treats a worker without heartbeats as lost after 15 seconds, not 5 minutes."""


def exits(deployment: Deployment, word: str) -> list[int]:
    """The sorted exit codes of a run's containers."""
    return sorted(task["containers"][0]["exitCode"] for task in deployment.tasks(word))


def lose_worker(airflow: Cluster, run_id: str, task_id: str) -> None:
    """Kill the worker that runs a task, and the task, as if their machine was lost."""
    (found,) = [task for task in airflow.client.tasks(run_id) if task["task_id"] == task_id]
    task = psutil.Process(found["pid"])
    worker = task.parent()
    assert "LocalExecutor" in " ".join(worker.cmdline())
    for process in (worker, task):
        process.kill()


def test_an_execution_builds_every_node_and_reports_it(deployment: Deployment) -> None:
    ended = deployment.ended(deployment.start("nightly-1"))
    assert ended["status"] == "SUCCEEDED"
    assert exits(deployment, "nightly-1") == [0]
    report = deployment.objects("runs/nightly-1/build/")
    result = json.loads(report["result.json"])
    assert (result["status"], result["exit_code"]) == ("success", 0)
    nodes = json.loads(report["manifest.json"])["nodes"].values()
    built = {node["unique_id"] for node in nodes if node["resource_type"] in BUILT_TYPES}
    assert result["message"] == f"{len(built)} nodes built"
    events = [
        json.loads(line)
        for name in sorted(report)
        if name.startswith("events/")
        for line in report[name].splitlines()
    ]
    assert {event["unique_id"] for event in events} == built | {"cross_model_tests"}
    ran = {entry["unique_id"] for entry in json.loads(report["run_results.json"])["results"]}
    assert built <= ran
    compiled = {name.rpartition("/")[2] for name in report if name.startswith("compiled/")}
    assert {"rpt_ltv.sql", "stg_game_events.sql"} <= compiled
    assert json.loads(report["sources.json"])["results"]
    assert report["dbt.log"]
    run = json.loads(deployment.objects("runs/nightly-1/")["run.json"])
    assert (run["outcome"], run["notes"], run["pages"][-1]) == ("success", [], "dbt/index.html")


def test_the_marts_equal_those_of_a_local_build(deployment: Deployment) -> None:
    compared = deployment.compared()
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "marts.rpt_daily_kpis" in compared.stdout


def test_a_password_rotation_during_a_build_is_retried(deployment: Deployment) -> None:
    arn = deployment.start("nightly-2")
    deployment.wait_for("nightly-2/build/events/")
    deployment.rotate(f"{CANARY}-2")
    assert deployment.ended(arn)["status"] == "SUCCEEDED"
    assert exits(deployment, "nightly-2") == [0, 77]
    assert "password authentication failed" in deployment.log()


def test_the_second_of_two_executions_waits_for_the_build_lock(deployment: Deployment) -> None:
    arns = [deployment.start(f"together-{number}") for number in (1, 2)]
    for arn in arns:
        assert deployment.ended(arn)["status"] == "SUCCEEDED"
    first, second = (exits(deployment, f"together-{number}") for number in (1, 2))
    assert {0, 75} == {*first, *second}
    assert "builds in this warehouse and holds the build lock until" in deployment.log()


def test_the_dag_survives_a_killed_container_a_lost_worker_and_a_full_memory(
    deployment: Deployment,
) -> None:
    deployment.cluster.inject(f"/{MODEL}$", "serializable_conflict")
    with Cluster.up(deployment.checkout, **deployment.settings, **SHORT_TIMEOUTS) as airflow:
        run_id = airflow.trigger()
        deployment.wait_for("/dbt_build/try_1-", "/events/")
        (killed,) = deployment.containers()
        deployment.engine.podman("kill", killed)

        deployment.wait_for("/dbt_build/try_2-", "/events/")
        # The build is paused so that it does not end before the scheduler finds the lost worker.
        with deployment.held() as followed:
            lose_worker(airflow, run_id, PRODUCER)
            # Containers that start from now on have too little memory.
            deployment.give_memory(TOO_LITTLE)
            airflow.until("the next try", lambda: AT_WORK in airflow.log(run_id, PRODUCER, 3))
            assert FOLLOWS in airflow.log(run_id, PRODUCER, 3)
            assert deployment.containers() == followed
        state, states = airflow.end(run_id)

        tries = airflow.tries(run_id)
        assert (state, states[PRODUCER], tries[PRODUCER]) == ("failed", "success", 3)
        assert "was killed" in airflow.log(run_id, PRODUCER, 1)
        bad = {task for task, found in states.items() if found != "success"}
        assert bad == {MODEL, "cross_model_tests", "record_partitions", "done"}
        assert (states[MODEL], tries[MODEL]) == ("failed", 3)
        assert "1023" in airflow.log(run_id, MODEL, 1)
        for attempt in (2, 3):
            assert OUT_OF_MEMORY in airflow.log(run_id, MODEL, attempt)
        (alert,) = deployment.alerts()
        assert f"Task {MODEL} of DAG game_analytics has failed, after 3 tries." in alert
        assert OUT_OF_MEMORY in alert

        deployment.give_memory(ENOUGH)
        airflow.client.clear(run_id, MODEL)
        state, states = airflow.end(run_id)
    assert (state, set(states.values())) == ("success", {"success"})
    assert deployment.alerts() == []
    commands = [
        task["overrides"]["containerOverrides"][0]["command"] for task in deployment.tasks(run_id)
    ]
    # The cross-model tests ran only once, because they do not run after a model has failed.
    started = sorted(" ".join(command[:2]) for command in commands)
    assert started == [*["dbt build"] * 3, "dbt test", *["follow --request"] * 2]
    compared = deployment.compared()
    assert compared.returncode == 0, compared.stdout + compared.stderr
    alone = [command for command in commands if command[:2] == ["dbt", "build"]]
    assert {Path(command[command.index("--select") + 1]).stem for command in alone} == {MODEL}


def test_the_dag_of_the_state_machine_follows_an_execution(deployment: Deployment) -> None:
    home = deployment.checkout.root / ".airflow"
    airflow = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(deployment.checkout.root / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(deployment.checkout.root / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    tested = deployment.checkout.run(
        *("airflow", "dags", "test", "game_analytics_step_functions"),
        **deployment.settings,
        **airflow,
    )
    print(tested.stdout[-5000:], tested.stderr[-5000:])
    assert tested.returncode == 0
    machine = deployment.emulator.client("stepfunctions")
    executions = machine.list_executions(stateMachineArn=deployment.build["StateMachineArn"])
    (own,) = [found for found in executions["executions"] if found["name"].startswith("manual__")]
    assert own["status"] == "SUCCEEDED"
    assert exits(deployment, own["name"]) == [0]


def test_the_password_is_only_in_its_secret(deployment: Deployment) -> None:
    """Task definition, overrides, inputs and history of executions, logs, artifacts, files."""
    emulator, cluster = deployment.emulator, deployment.build["ClusterName"]
    family = deployment.build["TaskDefinitionFamily"]
    ecs, machine = emulator.client("ecs"), emulator.client("stepfunctions")
    definition = ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
    assert {entry["name"] for entry in definition["containerDefinitions"][0]["secrets"]} >= {
        "REDSHIFT_PASSWORD"
    }
    texts = [definition, deployment.tasks("")]
    executions = machine.list_executions(stateMachineArn=deployment.build["StateMachineArn"])
    for execution in executions["executions"]:
        arn = execution["executionArn"]
        texts += [machine.describe_execution(executionArn=arn)]
        texts += [machine.get_execution_history(executionArn=arn, maxResults=1000)]
    assert len(texts) > 6, cluster
    assert CANARY not in json.dumps(texts, default=str)
    assert CANARY not in deployment.log()
    for name, content in deployment.objects("").items():
        assert CANARY.encode() not in content, name
    for path in deployment.checkout.root.rglob("*"):
        if path.is_file() and ".venv" not in path.relative_to(deployment.checkout.root).parts:
            assert CANARY.encode() not in path.read_bytes(), path
