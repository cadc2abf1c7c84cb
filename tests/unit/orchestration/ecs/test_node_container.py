"""A node's own container: how the node's task ends after each kind of report.

ECS is a script here, and S3 is a folder. `tests/deployment` runs real containers.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from airflow.providers.amazon.aws.operators.ecs import EcsBaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include import manifest
from include.manifest import PROJECT
from include.messages import (
    EVENTS_FOLDER,
    FINGERPRINT_VARIABLE,
    REPORT_VARIABLE,
    RESULT_FILE,
    NodeEvent,
    NodeResult,
    Problem,
    RunResult,
    SelectedNodes,
    StaleSources,
    to_json,
    to_plain,
)
from include.object_store import open_documents
from include.orchestration import alerts
from include.orchestration.alerts import ReportedElsewhereError
from include.orchestration.connection import profile
from include.orchestration.ecs import tasks
from include.orchestration.ecs.nodes import ContainerNodeOperator, FargateNodeOperator
from include.orchestration.operators import artifacts
from include.settings import Settings
from tests.unit.orchestration.ecs.scripted_ecs import Ecs

NODE = "model.game_analytics.rpt_ltv"
TEST = "test.game_analytics.unique_rpt_ltv.1"
SQL = "select 1 as broken"


class NodeEcs(Ecs):
    """ECS whose containers report and end at once. It also has the waiter of the provider."""

    def __init__(self, result: RunResult | None, *problems: Problem) -> None:
        super().__init__()
        self.result = result
        self.problems = problems

    def run_task(self, **request: Any) -> dict[str, Any]:
        answer = super().run_task(**request)
        if self.refusals:
            return answer
        variables = request["overrides"]["containerOverrides"][0]["environment"]
        root = next(item["value"] for item in variables if item["name"] == REPORT_VARIABLE)
        self.report(root)
        self.end(self.result.exit_code if self.result else 137)
        return answer

    def report(self, root: str) -> None:
        documents = open_documents(root)
        status = self.problems[0].status if self.problems else "success"
        result = NodeResult(NODE, status, 0.1, None, ("OK created rpt_ltv",), self.problems)
        documents.write(f"{EVENTS_FOLDER}000001.jsonl", f"{to_json(result)}\n".encode())
        if self.result:
            documents.write(RESULT_FILE, to_json(self.result).encode())

    def get_waiter(self, name: str) -> Any:
        assert name == "tasks_stopped"

        def wait(*, tasks: list[str], **_: Any) -> None:
            while self.tasks[tasks[0]]["lastStatus"] != "STOPPED":
                time.sleep(0.01)

        return SimpleNamespace(wait=wait)


GOOD = RunResult("run", "success", "1 nodes built", 0)
FAILED = RunResult("run", "failed", "of 1 nodes these failed: rpt_ltv", 1)


class Task:
    """The task of one node."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.settings = Settings(
            target="redshift",
            lake="s3://lake/events",
            docs=str(folder / "docs"),
            execution="ecs",
            ecs_subnets="subnet-11111111",
        )
        self.patch = patch
        self.context: dict[str, Any] = {
            "run_id": "run",
            "params": {},
            "ti": SimpleNamespace(
                dag_id="game_analytics",
                task_id="rpt_ltv",
                run_id="run",
                map_index=-1,
                try_number=2,
                id="id",
                xcom_push=lambda **_: None,
                xcom_pull=lambda task_ids: {
                    "preflight": to_plain(SelectedNodes(None)),
                    "freshness": to_plain(StaleSources(())),
                }[task_ids],
            ),
        }
        patch.setattr(artifacts, "ARTIFACTS", folder / "artifacts")
        patch.setattr(tasks, "POLL_SECONDS", 0.02)
        (folder / "fingerprint").write_text("abc\n")
        patch.setattr(manifest, "FINGERPRINT", folder / "fingerprint")
        # These variables come from the context of a real task, which is missing here.
        patch.setattr(
            "cosmos.operators.base.context_to_airflow_vars",
            lambda *_, **__: {"AIRFLOW_CTX_DAG_RUN_ID": "run"},
        )

    def operator(self, kind: type[ContainerNodeOperator] = ContainerNodeOperator) -> Any:
        return kind(
            task_id="rpt_ltv",
            settings=self.settings,
            profile_config=profile(self.settings),
            project_dir=str(PROJECT),
            select="path:models/marts/ltv/rpt_ltv.sql",
            dbt_cmd_flags=["--exclude-resource-type", "unit_test"],
            sources={NODE: frozenset()},
            files={NODE: "dbt/models/marts/ltv/rpt_ltv.sql", TEST: "dbt/models/marts/ltv/x.yml"},
            model_file="dbt/models/marts/ltv/rpt_ltv.sql",
        )

    def run(self, ecs: NodeEcs) -> Any:
        self.patch.setattr(tasks, "client", lambda: ecs)
        self.patch.setattr(EcsBaseOperator, "client", ecs)
        operator = self.operator()
        operator.execute(self.context)
        return operator


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Task:
    return Task(monkeypatch, tmp_path)


def test_the_log_of_the_task_has_the_lines_of_dbt(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    ecs = NodeEcs(GOOD)
    with caplog.at_level(logging.INFO):
        task.run(ecs)
    assert "OK created rpt_ltv" in caplog.text
    (request,) = ecs.requests
    assert request["launchType"] == "FARGATE"
    override = request["overrides"]["containerOverrides"][0]
    assert override["command"][:2] == ["dbt", "build"]
    assert "path:models/marts/ltv/rpt_ltv.sql" in override["command"]
    variables = {item["name"]: item["value"] for item in override["environment"]}
    assert variables[REPORT_VARIABLE] == f"{task.settings.docs}/runs/run/rpt_ltv/try_2-id"
    assert variables["AIRFLOW_CTX_DAG_RUN_ID"] == "run"
    assert variables[FINGERPRINT_VARIABLE] == "abc"
    assert variables["GAME_ANALYTICS_LAKE"] == "s3://lake/events"
    assert "GAME_ANALYTICS_DBT_EXECUTABLE" not in variables
    assert not any("PASSWORD" in name for name in variables)
    assert len(json.dumps(request["overrides"])) < 8192


def test_a_failed_test_is_final_and_its_sql_is_kept(task: Task) -> None:
    problem = Problem(TEST, "fail", "Got 2 results", SQL, ({"id": "7"},))
    with pytest.raises(AirflowFailException, match="test unique_rpt_ltv failed: Got 2 results"):
        task.run(NodeEcs(FAILED, problem))
    (file,) = artifacts.ARTIFACTS.rglob("*.sql")
    assert file.read_text() == SQL


def test_a_broken_model_is_retried(task: Task) -> None:
    problem = Problem(NODE, "error", "Database Error: 1023")
    with pytest.raises(AirflowException, match="model rpt_ltv had an error") as raised:
        task.run(NodeEcs(FAILED, problem))
    assert not isinstance(raised.value, AirflowFailException)


def test_the_error_of_a_container_is_the_error_of_the_task(task: Task) -> None:
    message = "another run builds in this warehouse"
    with pytest.raises(AirflowException, match=message):
        task.run(NodeEcs(RunResult("run", "error", message, 75)))


def test_a_killed_container_is_explained(task: Task) -> None:
    with pytest.raises(AirflowException, match="was killed"):
        task.run(NodeEcs(None))


def test_a_task_that_ecs_refuses_is_an_error(task: Task) -> None:
    ecs = NodeEcs(GOOD)
    ecs.refusals = [{"reason": "Capacity is unavailable at this time"}]
    with pytest.raises(AirflowException, match="Fargate has no room"):
        task.run(ecs)


def test_the_container_of_a_lost_worker_is_waited_for(task: Task) -> None:
    ecs = NodeEcs(GOOD)
    root = f"{task.settings.docs}/runs/run/rpt_ltv/try_1"
    variables = [{"name": REPORT_VARIABLE, "value": root}]
    overrides = {"containerOverrides": [{"name": "dbt", "environment": variables}]}
    ecs.add("arn:1", overrides, tasks.started_by(task.context["ti"]))
    ecs.report(root)
    ecs.end(0)
    ecs.tasks["arn:1"]["desiredStatus"] = "RUNNING"
    operator = task.run(ecs)
    assert ecs.requests == []
    assert operator.root == root


def test_a_container_of_the_producer_is_stopped_first(task: Task) -> None:
    ecs = NodeEcs(GOOD)
    mark = tasks.started_by(task.context["ti"], "dbt_build")
    ecs.add("arn:left", {}, mark)

    def stop(*, task: str, **_: Any) -> None:
        assert ecs.requests == []
        ecs.tasks[task] |= {"desiredStatus": "STOPPED", "lastStatus": "STOPPED"}

    task.patch.setattr(ecs, "stop_task", stop)
    task.run(ecs)
    assert ecs.tasks["arn:left"]["lastStatus"] == "STOPPED"
    assert len(ecs.requests) == 1


def test_no_node_starts_a_container_after_the_producer_has_failed(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(alerts, "publish", lambda *alert: sent.append(alert))
    operator = task.operator(FargateNodeOperator)
    with pytest.raises(ReportedElsewhereError, match="dbt_build has failed") as raised:
        operator.resume(task.context, to_plain(NodeEvent(None, producer_failed=True)))
    alerts.report_failure("arn:topic", {**task.context, "exception": raised.value})
    assert sent == []
    alerts.report_failure("arn:topic", {**task.context, "exception": AirflowException("x")})
    assert len(sent) == 1


def test_a_node_that_is_cleared_alone_runs_its_own_container(task: Task) -> None:
    ecs = NodeEcs(GOOD)
    task.patch.setattr(tasks, "client", lambda: ecs)
    task.patch.setattr(EcsBaseOperator, "client", ecs)
    task.operator(FargateNodeOperator).resume(task.context, to_plain(NodeEvent(None)))
    assert len(ecs.requests) == 1
