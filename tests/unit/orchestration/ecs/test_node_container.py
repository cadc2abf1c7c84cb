"""A node's own container: what comes back from it, and what the node's task makes of that.

ECS is a script here, and S3 a folder; real containers are in `tests/deployment`.
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
from include.build.container import ARTIFACTS, EVENTS, FINGERPRINT, RESULT
from include.manifest import PROJECT
from include.object_store import open_documents
from include.orchestration import alerts
from include.orchestration.alerts import ToldElsewhereError
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
    """Lets a started container tell at once, and the provider's waiter wait."""

    def __init__(self, result: dict[str, Any] | None, *results: dict[str, Any]) -> None:
        super().__init__()
        self.result = result
        self.results = results

    def run_task(self, **asked: Any) -> dict[str, Any]:
        answer = super().run_task(**asked)
        if self.refusals:
            return answer
        variables = asked["overrides"]["containerOverrides"][0]["environment"]
        root = next(item["value"] for item in variables if item["name"] == ARTIFACTS)
        self.tell(root)
        self.end(self.result["exit_code"] if self.result else 137)
        return answer

    def tell(self, root: str) -> None:
        documents = open_documents(root)
        news = {"unique_id": NODE, "lines": ["OK created rpt_ltv"], "results": self.results}
        documents.write(f"{EVENTS}000001.jsonl", f"{json.dumps(news)}\n".encode())
        if self.result:
            documents.write(RESULT, json.dumps(self.result).encode())

    def get_waiter(self, name: str) -> Any:
        assert name == "tasks_stopped"

        def wait(*, tasks: list[str], **_: Any) -> None:
            while self.tasks[tasks[0]]["lastStatus"] != "STOPPED":
                time.sleep(0.01)

        return SimpleNamespace(wait=wait)


def failed(status: str, code: int = 1) -> dict[str, Any]:
    return {"status": status, "message": "rpt_ltv went wrong, of 1 nodes", "exit_code": code}


GOOD = {"status": "success", "message": "1 nodes built", "exit_code": 0}


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
                    "preflight": {"selected": None},
                    "freshness": {"stale": []},
                }[task_ids],
            ),
        }
        patch.setattr(artifacts, "ARTIFACTS", folder / "artifacts")
        patch.setattr(tasks, "POLL_SECONDS", 0.02)
        (folder / "fingerprint").write_text("abc\n")
        patch.setattr(manifest, "FINGERPRINT", folder / "fingerprint")
        # Of the provider and of Airflow's own context, which a real task has.
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
            select="fqn:game_analytics.marts.ltv.rpt_ltv",
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


def test_dbt_s_lines_come_back(task: Task, caplog: pytest.LogCaptureFixture) -> None:
    ecs = NodeEcs(GOOD)
    with caplog.at_level(logging.INFO):
        task.run(ecs)
    assert "OK created rpt_ltv" in caplog.text
    (asked,) = ecs.asked
    assert asked["launchType"] == "FARGATE"
    override = asked["overrides"]["containerOverrides"][0]
    assert override["command"][:2] == ["dbt", "build"]
    assert "fqn:game_analytics.marts.ltv.rpt_ltv" in override["command"]
    variables = {item["name"]: item["value"] for item in override["environment"]}
    assert variables[ARTIFACTS] == f"{task.settings.docs}/runs/run/rpt_ltv/try_2-id"
    assert variables["AIRFLOW_CTX_DAG_RUN_ID"] == "run"
    assert variables[FINGERPRINT] == "abc"
    assert variables["GAME_ANALYTICS_LAKE"] == "s3://lake/events"
    assert "GAME_ANALYTICS_DBT_EXECUTABLE" not in variables
    assert not any("PASSWORD" in name for name in variables)
    assert len(json.dumps(asked["overrides"])) < 8192


def test_a_failed_test_is_final_and_told_with_its_sql(task: Task) -> None:
    result = {
        "unique_id": TEST,
        "status": "fail",
        "message": "Got 2 results",
        "sql": SQL,
        "rows": [{"id": "7"}],
    }
    with pytest.raises(AirflowFailException, match="test unique_rpt_ltv failed: Got 2 results"):
        task.run(NodeEcs(failed("failed"), result))
    (file,) = artifacts.ARTIFACTS.rglob("*.sql")
    assert file.read_text() == SQL


def test_a_broken_model_is_retried(task: Task) -> None:
    result = {"unique_id": NODE, "status": "error", "message": "Database Error: 1023"}
    with pytest.raises(AirflowException, match="model rpt_ltv broke") as raised:
        task.run(NodeEcs(failed("failed"), result))
    assert not isinstance(raised.value, AirflowFailException)


def test_a_container_that_cannot_run_dbt_says_why(task: Task) -> None:
    message = "another run builds in this warehouse"
    with pytest.raises(AirflowException, match=message):
        task.run(NodeEcs({"status": "error", "message": message, "exit_code": 75}))


def test_a_killed_container_is_explained(task: Task) -> None:
    with pytest.raises(AirflowException, match="was killed"):
        task.run(NodeEcs(None))


def test_ecs_takes_no_task(task: Task) -> None:
    ecs = NodeEcs(GOOD)
    ecs.refusals = [{"reason": "Capacity is unavailable at this time"}]
    with pytest.raises(AirflowException, match="Fargate has no room"):
        task.run(ecs)


def test_the_container_of_a_lost_worker_is_waited_for(task: Task) -> None:
    ecs = NodeEcs(GOOD)
    root = f"{task.settings.docs}/runs/run/rpt_ltv/try_1"
    variables = [{"name": ARTIFACTS, "value": root}]
    overrides = {"containerOverrides": [{"name": "dbt", "environment": variables}]}
    ecs.add("arn:1", overrides, tasks.started_by(task.context["ti"]))
    ecs.tell(root)
    ecs.end(0)
    ecs.tasks["arn:1"]["desiredStatus"] = "RUNNING"
    operator = task.run(ecs)
    assert ecs.asked == []
    assert operator.root == root


def test_a_container_for_all_that_nobody_follows_is_stopped_first(task: Task) -> None:
    ecs = NodeEcs(GOOD)
    mark = tasks.started_by(task.context["ti"], "dbt_build")
    ecs.add("arn:left", {}, mark)

    def stop(*, task: str, **_: Any) -> None:
        assert ecs.asked == []
        ecs.tasks[task] |= {"desiredStatus": "STOPPED", "lastStatus": "STOPPED"}

    task.patch.setattr(ecs, "stop_task", stop)
    task.run(ecs)
    assert ecs.tasks["arn:left"]["lastStatus"] == "STOPPED"
    assert len(ecs.asked) == 1


def test_no_node_starts_a_container_when_the_one_for_all_has_failed(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(alerts, "publish", lambda *alert: sent.append(alert))
    operator = task.operator(FargateNodeOperator)
    with pytest.raises(ToldElsewhereError, match="dbt_build has failed") as raised:
        operator.resume(task.context, {"status": None, "producer_failed": True})
    alerts.report_failure("arn:topic", {**task.context, "exception": raised.value})
    assert sent == []
    alerts.report_failure("arn:topic", {**task.context, "exception": AirflowException("x")})
    assert len(sent) == 1


def test_a_node_that_is_cleared_alone_runs_its_own(task: Task) -> None:
    ecs = NodeEcs(GOOD)
    task.patch.setattr(tasks, "client", lambda: ecs)
    task.patch.setattr(EcsBaseOperator, "client", ecs)
    task.operator(FargateNodeOperator).resume(task.context, {"status": None})
    assert len(ecs.asked) == 1
