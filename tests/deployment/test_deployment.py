"""What the README deploys, deployed and run: stacks, image, state machine, DAG on Fargate, marts.

One account for all tests of the file; they go in order.
"""

from __future__ import annotations

import json

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import psutil

from include.manifest import BUILT_TYPES
from include.orchestration.watcher.nodes import PRODUCER
from tests.deployment.deployment import CANARY, Deployment
from tests.support.airflow_cluster import Cluster

MODEL = "rpt_ltv_overall"
"""Has a conflict in the container of the build, and then too little memory in its own."""
TOO_LITTLE, ENOUGH = 100, 4096
"""Megabytes for a container: dbt takes 190 before it does anything."""
OUT_OF_MEMORY = (
    "ran out of memory (OutOfMemoryError: Container killed due to memory usage): give the task "
    "definition more memory (parameter TaskMemory of include/aws/build.yaml), then clear this task."
)
AT_WORK, FOLLOWS = "What it tells comes by", ", which an earlier try has started."
PATIENT = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    # Here nobody kills these two, and a busy machine makes them late.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "120",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "120",
}
"""After how long the scheduler takes a silent worker for lost: 15 seconds, not 5 minutes."""


def exits(deployment: Deployment, word: str) -> list[int]:
    """The exit codes of a run's containers, in any order but sorted."""
    return sorted(task["containers"][0]["exitCode"] for task in deployment.tasks(word))


def lose_worker(airflow: Cluster, run_id: str, task_id: str) -> None:
    """`kill -9` the worker that runs a task, and the task with it, as if their machine was lost."""
    (found,) = [task for task in airflow.client.tasks(run_id) if task["task_id"] == task_id]
    task = psutil.Process(found["pid"])
    worker = task.parent()
    assert "LocalExecutor" in " ".join(worker.cmdline())
    for process in (worker, task):
        process.kill()


def test_an_execution_builds_everything(deployment: Deployment) -> None:
    ended = deployment.ended(deployment.start("nightly-1"))
    assert ended["status"] == "SUCCEEDED"
    assert exits(deployment, "nightly-1") == [0]
    told = deployment.objects("runs/nightly-1/build/")
    result = json.loads(told["result.json"])
    assert (result["status"], result["exit_code"]) == ("success", 0)
    nodes = json.loads(told["manifest.json"])["nodes"].values()
    built = {node["unique_id"] for node in nodes if node["resource_type"] in BUILT_TYPES}
    assert result["message"] == f"{len(built)} nodes built"
    events = [
        json.loads(line)
        for name in sorted(told)
        if name.startswith("events/")
        for line in told[name].splitlines()
    ]
    assert {event["unique_id"] for event in events} == built | {"cross_model_tests"}
    ran = {entry["unique_id"] for entry in json.loads(told["run_results.json"])["results"]}
    assert built <= ran
    compiled = {name.rpartition("/")[2] for name in told if name.startswith("compiled/")}
    assert {"rpt_ltv.sql", "stg_game_events.sql"} <= compiled
    assert json.loads(told["catalog.json"])["nodes"]
    assert json.loads(told["sources.json"])["results"]
    assert told["dbt.log"]


def test_its_marts_are_those_of_a_local_build(deployment: Deployment) -> None:
    compared = deployment.compared()
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "marts.rpt_daily_kpis" in compared.stdout


def test_a_password_that_is_rotated_during_a_build_is_a_retry(deployment: Deployment) -> None:
    arn = deployment.start("nightly-2")
    deployment.wait_for("nightly-2/build/events/")
    deployment.rotate(f"{CANARY}-2")
    assert deployment.ended(arn)["status"] == "SUCCEEDED"
    assert exits(deployment, "nightly-2") == [0, 77]
    assert "password authentication failed" in deployment.log()


def test_of_two_executions_one_builds_and_the_other_waits(deployment: Deployment) -> None:
    arns = [deployment.start(f"together-{number}") for number in (1, 2)]
    for arn in arns:
        assert deployment.ended(arn)["status"] == "SUCCEEDED"
    first, second = (exits(deployment, f"together-{number}") for number in (1, 2))
    assert {0, 75} == {*first, *second}
    assert "builds in this warehouse, and has the lock until" in deployment.log()


def test_the_dag_survives_a_killed_container_a_lost_worker_and_a_full_memory(
    deployment: Deployment,
) -> None:
    deployment.cluster.inject(f"/{MODEL}$", "serializable_conflict")
    with Cluster.up(deployment.checkout, **deployment.settings, **PATIENT) as airflow:
        run_id = airflow.trigger()
        deployment.wait_for("/dbt_build/try_1-", "/events/")
        (killed,) = deployment.containers()
        deployment.engine.podman("kill", killed)

        deployment.wait_for("/dbt_build/try_2-", "/events/")
        # The build must not be at its end before the worker is found lost.
        with deployment.held() as followed:
            lose_worker(airflow, run_id, PRODUCER)
            # For whatever starts a container of its own from now on.
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
    # The tests that span nodes did not run beside a model that failed.
    started = sorted(" ".join(command[:2]) for command in commands)
    assert started == [*["dbt build"] * 3, "dbt test", *["follow --request"] * 2]
    compared = deployment.compared()
    assert compared.returncode == 0, compared.stdout + compared.stderr
    alone = [command for command in commands if command[:2] == ["dbt", "build"]]
    assert {command[command.index("--select") + 1].split(".")[-1] for command in alone} == {MODEL}


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


def test_the_password_is_nowhere_but_in_its_secret(deployment: Deployment) -> None:
    """Task definition, overrides, inputs and history of executions, logs, artifacts, files."""
    emulator, cluster = deployment.emulator, deployment.build["ClusterName"]
    family = deployment.build["TaskDefinitionFamily"]
    ecs, machine = emulator.client("ecs"), emulator.client("stepfunctions")
    definition = ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
    assert {entry["name"] for entry in definition["containerDefinitions"][0]["secrets"]} >= {
        "REDSHIFT_PASSWORD"
    }
    told = [definition, deployment.tasks("")]
    executions = machine.list_executions(stateMachineArn=deployment.build["StateMachineArn"])
    for execution in executions["executions"]:
        arn = execution["executionArn"]
        told += [machine.describe_execution(executionArn=arn)]
        told += [machine.get_execution_history(executionArn=arn, maxResults=1000)]
    assert len(told) > 6, cluster
    assert CANARY not in json.dumps(told, default=str)
    assert CANARY not in deployment.log()
    for name, content in deployment.objects("").items():
        assert CANARY.encode() not in content, name
    for path in deployment.checkout.root.rglob("*"):
        if path.is_file() and ".venv" not in path.relative_to(deployment.checkout.root).parts:
            assert CANARY.encode() not in path.read_bytes(), path
