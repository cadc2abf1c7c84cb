"""What the README deploys, deployed and run: stacks, image, state machine, DAG on Fargate, marts.

One account for all tests of the file; they go in order.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.manifest import BUILT_TYPES
from tests.containers.engine import Engine
from tests.deployment.deployment import CANARY, Deployment
from tests.pipeline.checkout import states
from tests.pipeline.test_real_run import STEPS


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Deployment]:
    with Deployment.make(tmp_path_factory.mktemp("account"), engine) as deployment:
        yield deployment


def exits(deployment: Deployment, word: str) -> list[int]:
    """The exit codes of a run's containers, in any order but sorted."""
    return sorted(task["containers"][0]["exitCode"] for task in deployment.tasks(word))


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


def test_the_dag_survives_a_killed_container_and_retries_one_model_in_its_own(
    deployment: Deployment,
) -> None:
    deployment.cluster.inject("/rpt_ltv_overall$", "serializable_conflict")

    def kill() -> None:
        deployment.wait_for("/dbt_build/try_1-", "/events/")
        for container in deployment.engine.podman("ps", "--quiet").stdout.split():
            deployment.engine.podman("kill", container)

    killer = threading.Thread(target=kill)
    killer.start()
    ended = deployment.checkout.run("include.laptop.run", **deployment.settings)
    killer.join()
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0
    manifest = json.loads((deployment.checkout.root / "dbt/target/manifest.json").read_text())
    nodes = {
        node["name"] for node in manifest["nodes"].values() if node["resource_type"] in BUILT_TYPES
    }
    tasks = nodes | STEPS | {"unlock"}
    found = states(ended.stdout, tasks)
    twice = {"rpt_ltv_overall", "dbt_build"}
    assert {task: found.pop(task) for task in twice} == {
        task: ["up_for_retry", "success"] for task in twice
    }
    assert found == {task: ["success"] for task in tasks - twice}
    commands = [
        task["overrides"]["containerOverrides"][0]["command"]
        for task in deployment.tasks("make_run__")
    ]
    # The tests that span nodes did not run beside a model that failed.
    started = sorted(" ".join(command[:2]) for command in commands)
    assert started == ["dbt build", "dbt test", "follow --request", "follow --request"]
    compared = deployment.compared()
    assert compared.returncode == 0, compared.stdout + compared.stderr
    (alone,) = [command for command in commands if command[:2] == ["dbt", "build"]]
    assert alone[alone.index("--select") + 1].endswith(".rpt_ltv_overall")


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
