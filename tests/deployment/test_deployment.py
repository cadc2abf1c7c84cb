"""What the README deploys, deployed and run: stacks, image, state machine, DAG on Fargate, marts.

One account for all tests of the file; they go in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.manifest import BUILT_TYPES
from tests.aws import stacks
from tests.containers.engine import Engine
from tests.deployment.deployment import CANARY, Deployment
from tests.pipeline.checkout import states
from tests.pipeline.test_real_run import STEPS
from tests.redshift.test_redshift_dag import BACKEND, SECRETS


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


def test_what_passes_by_itself_is_tried_again(deployment: Deployment) -> None:
    deployment.cluster.inject("/rpt_ltv_overall$", "serializable_conflict")
    ended = deployment.ended(deployment.start("nightly-2"))
    assert ended["status"] == "SUCCEEDED"
    assert exits(deployment, "nightly-2") == [0, 75]


def test_of_two_executions_one_builds_and_the_other_waits(deployment: Deployment) -> None:
    arns = [deployment.start(f"together-{number}") for number in (1, 2)]
    for arn in arns:
        assert deployment.ended(arn)["status"] == "SUCCEEDED"
    first, second = (exits(deployment, f"together-{number}") for number in (1, 2))
    assert {0, 75} == {*first, *second}
    assert "builds in this warehouse, and has the lock until" in deployment.log()


def test_the_dag_follows_one_container_and_retries_one_model_in_another(
    deployment: Deployment,
) -> None:
    deployment.cluster.inject("/rpt_ltv_overall$", "serializable_conflict")
    ended = deployment.checkout.run(
        "include.laptop.run",
        GAME_ANALYTICS_TARGET="redshift",
        GAME_ANALYTICS_LAKE=deployment.lake,
        GAME_ANALYTICS_DOCS=deployment.docs,
        GAME_ANALYTICS_ECS_CLUSTER=deployment.build["ClusterName"],
        GAME_ANALYTICS_ECS_SUBNETS=stacks.SUBNETS,
        GAME_ANALYTICS_ECS_SECURITY_GROUPS=stacks.SECURITY_GROUPS,
        AIRFLOW__SECRETS__BACKEND=BACKEND,
        AIRFLOW__SECRETS__BACKEND_KWARGS=SECRETS,
        AIRFLOW__WORKERS__SECRETS_BACKEND=BACKEND,
        AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS=SECRETS,
        **deployment.emulator.environment(),
        **deployment.cluster.trust(),
    )
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0
    manifest = json.loads((deployment.checkout.root / "dbt/target/manifest.json").read_text())
    nodes = {
        node["name"] for node in manifest["nodes"].values() if node["resource_type"] in BUILT_TYPES
    }
    steps = STEPS | {"unlock"}
    found = states(ended.stdout, nodes | steps)
    assert found.pop("rpt_ltv_overall") == ["up_for_retry", "success"]
    assert found == {task: ["success"] for task in (nodes | steps) - {"rpt_ltv_overall"}}
    commands = [
        task["overrides"]["containerOverrides"][0]["command"]
        for task in deployment.tasks("make_run__")
    ]
    assert sorted(command[0] for command in commands) == ["dbt", "follow"]
    assert "fqn:game_analytics.marts.ltv.rpt_ltv_overall" in next(
        command for command in commands if command[0] == "dbt"
    )


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
