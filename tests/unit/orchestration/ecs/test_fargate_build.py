"""`dbt_build` on Fargate: a container that reports, one that is killed, one that is found again.

ECS is a script here, and S3 is a folder. `tests/containers` runs real containers.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from airflow.sdk.exceptions import AirflowException

from include import manifest
from include.messages import (
    EVENTS_FOLDER,
    FINGERPRINT_VARIABLE,
    REQUEST_FILE,
    RESULT_FILE,
    BuildRequest,
    NodeResult,
    RunResult,
    Status,
    from_json,
    to_json,
)
from include.object_store import Documents, open_documents
from include.orchestration.ecs import producer as module
from include.orchestration.ecs import tasks
from include.orchestration.ecs.producer import FargateBuildOperator
from include.settings import Settings
from tests.unit.orchestration.ecs.scripted_ecs import Ecs
from tests.unit.orchestration.runs import ProducerRun

NAMES = ("a", "b")
GOOD = RunResult("r", "success", "2 nodes built", 0)


def write_event(documents: Documents, number: int, name: str, status: Status = "success") -> None:
    result = NodeResult(f"model.p.{name}", status, 0.1, None, (f"built {name}",), ())
    documents.write(f"{EVENTS_FOLDER}{number:06}.jsonl", f"{to_json(result)}\n".encode())


class Run(ProducerRun):
    """A run whose producer starts containers on `Ecs`."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        super().__init__(patch, NAMES)
        self.settings = Settings(
            target="redshift",
            lake="s3://lake/events",
            docs=str(folder / "docs"),
            execution="fargate",
            ecs_subnets="subnet-11111111,subnet-22222222",
            ecs_security_groups="sg-11111111",
        )
        for name, seconds in (("POLL", 0.02), ("DESCRIBE", 0.02), ("LATE", 0.5)):
            patch.setattr(module, f"{name}_SECONDS", seconds)
        patch.setattr(tasks, "POLL_SECONDS", 0.02)
        (folder / "fingerprint").write_text("abc\n")
        patch.setattr(manifest, "FINGERPRINT", folder / "fingerprint")
        self.patch = patch

    def build(self, ecs: Ecs, attempt: int = 1, clears: int = 0) -> FargateBuildOperator:
        """Run one try, after so many clears of tasks."""
        self.patch.setattr(tasks, "client", lambda: ecs)
        task = FargateBuildOperator(
            task_id="dbt_build", settings=self.settings, manifest=self.manifest, assets={}
        )
        ti = self.instance(attempt)
        self.task = task
        task.execute(self.context(ti, clears, lambda _: None))
        return task


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    return Run(monkeypatch, tmp_path)


def reports(ecs: Ecs, documents: Documents) -> None:
    """A good container: it writes an event, after a while another one, then the result."""
    write_event(documents, 1, "a")
    time.sleep(0.2)
    write_event(documents, 2, "b", "warn")
    documents.write(RESULT_FILE, to_json(GOOD).encode())
    ecs.end()


def test_a_container_is_started_and_followed(run: Run) -> None:
    ecs = Ecs(reports)
    run.build(ecs)
    assert run.statuses() == {"a": "success", "b": "warn"}
    assert run.progress.done is True
    assert run.xcoms["dbt", "a"]["lines"] == ["built a"]
    (started,) = ecs.requests
    assert started["launchType"] == "FARGATE"
    assert started["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["subnet-11111111", "subnet-22222222"],
        "securityGroups": ["sg-11111111"],
        "assignPublicIp": "DISABLED",
    }
    (override,) = started["overrides"]["containerOverrides"]
    assert override["name"] == "dbt"
    follow, option, uri = override["command"]
    assert (follow, option) == ("follow", "--request")
    folder = "runs/scheduled__2026-11-28T04_30_00_00_00/dbt_build/try_1-id-1"
    assert uri == f"{run.settings.docs}/{folder}/{REQUEST_FILE}"
    request = from_json(Path(uri).read_text(), BuildRequest)
    assert request.run_id == "scheduled__2026-11-28T04:30:00+00:00"
    assert request.select is None
    variables = {item["name"]: item["value"] for item in override["environment"]}
    assert variables["AIRFLOW_CTX_DAG_RUN_ID"] == request.run_id
    assert variables[FINGERPRINT_VARIABLE] == "abc"
    # An empty setting is passed, too: otherwise the value of the task definition would count.
    assert variables["GAME_ANALYTICS_SCHEMA_PREFIX"] == ""
    assert variables["GAME_ANALYTICS_LAKE"] == "s3://lake/events"
    assert "GAME_ANALYTICS_DBT_EXECUTABLE" not in variables
    # ECS accepts 8,192 characters of overrides.
    assert len(json.dumps(started["overrides"])) < 8192


def test_the_error_of_a_failed_container_has_the_reason(run: Run) -> None:
    def fails(ecs: Ecs, documents: Documents) -> None:
        write_event(documents, 1, "a")
        result = RunResult("r", "error", "another run builds in this warehouse", 75)
        documents.write(RESULT_FILE, to_json(result).encode())
        ecs.end(75)

    with pytest.raises(AirflowException, match="another run builds in this warehouse"):
        run.build(Ecs(fails))
    assert run.statuses() == {"a": "success"}
    assert run.progress.done is True


ENDS = {
    "out of memory": (
        {"code": 137, "why": "OutOfMemoryError: container killed due to memory usage"},
        "ran out of memory.*TaskMemory",
    ),
    "killed": ({"code": 137, "stoppedReason": "Task stopped"}, "was killed.*memory"),
    "image not pullable": (
        {
            "code": None,
            "stopCode": "TaskFailedToStart",
            "stoppedReason": "CannotPullContainerError: manifest unknown",
        },
        "did not start: CannotPullContainerError.*make push",
    ),
    "secret without a key": (
        {
            "code": None,
            "stopCode": "TaskFailedToStart",
            "stoppedReason": "ResourceInitializationError: unable to pull secrets",
        },
        "did not start.*the secret exists with all its keys",
    ),
    "it left no result": ({"code": 1}, "exit code 1 and left no result.*GAME_ANALYTICS_DOCS"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_container_that_ends_without_a_result_is_explained(run: Run, name: str) -> None:
    ended, message = ENDS[name]

    def is_killed(ecs: Ecs, documents: Documents) -> None:
        write_event(documents, 1, "a")
        ecs.end(**ended)  # type: ignore[arg-type]

    with pytest.raises(AirflowException, match=message):
        run.build(Ecs(is_killed))
    assert run.statuses() == {"a": "success"}
    assert run.progress.done is True


def test_events_after_the_end_of_the_task_count(run: Run) -> None:
    def is_late(ecs: Ecs, documents: Documents) -> None:
        ecs.end()
        time.sleep(0.2)
        reports(ecs, documents)

    run.build(Ecs(is_late))
    assert run.statuses() == {"a": "success", "b": "warn"}


def test_an_event_that_was_lost_leaves_the_node_to_its_own_task(run: Run) -> None:
    def loses(ecs: Ecs, documents: Documents) -> None:
        write_event(documents, 2, "b")
        documents.write(RESULT_FILE, to_json(GOOD).encode())
        ecs.end()

    run.build(Ecs(loses))
    assert run.statuses() == {"b": "success"}
    assert run.progress.done is True


@pytest.mark.parametrize("reason", ["RESOURCE:CPU", "Capacity is unavailable at this time"])
def test_a_task_that_ecs_refuses_is_an_error(run: Run, reason: str) -> None:
    ecs = Ecs()
    ecs.refusals = [{"reason": reason}]
    with pytest.raises(AirflowException, match=f"ECS did not start the task: {reason}"):
        run.build(ecs)
    assert run.progress.done is True


def test_the_next_try_follows_the_container_of_a_lost_worker(run: Run) -> None:
    ecs = Ecs()
    root = f"{run.settings.docs}/runs/r/dbt_build/try_1"
    mark = tasks.started_by(run.instance())
    override = {"name": "dbt", "command": ["follow", "--request", f"{root}/{REQUEST_FILE}"]}
    ecs.add("arn:1", {"containerOverrides": [override]}, mark)
    documents = open_documents(root)
    threading.Thread(target=reports, args=(ecs, documents), daemon=True).start()
    run.build(ecs, attempt=2)
    assert ecs.requests == []
    assert run.statuses() == {"a": "success", "b": "warn"}


def lose(run: Run, ecs: Ecs) -> None:
    """Run a try whose worker is lost when it has started a container, which goes on."""

    class Lost(BaseException):
        pass

    def goes(*_: Any) -> None:
        raise Lost

    with run.patch.context() as patch, pytest.raises(Lost):
        patch.setattr(FargateBuildOperator, "_results", goes)
        run.build(ecs)
    deadline = time.monotonic() + 5
    while ecs.tasks[next(iter(ecs.tasks))]["lastStatus"] != "STOPPED":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_nodes_of_a_container_whose_worker_was_lost_count(run: Run) -> None:
    ecs = Ecs(reports)
    lose(run, ecs)
    run.build(ecs, attempt=2)
    assert len(ecs.requests) == 1
    assert run.statuses() == {"a": "success", "b": "warn"}


@pytest.mark.parametrize("why", ["it failed", "tasks were cleared", "ECS has forgotten it"])
def test_a_lost_container_that_does_not_count_is_replaced(run: Run, why: str) -> None:
    ecs = Ecs(reports)
    lose(run, ecs)
    if why == "it failed":
        ecs.end(137)
    elif why == "ECS has forgotten it":
        ecs.tasks.clear()
    run.build(ecs, attempt=2, clears=int(why == "tasks were cleared"))
    assert len(ecs.requests) == 2
    assert run.statuses() == {"a": "success", "b": "warn"}


def test_a_container_that_is_being_stopped_is_waited_for(run: Run) -> None:
    ecs = Ecs(reports)
    mark = tasks.started_by(run.instance())
    ecs.add("arn:1", {}, mark, desiredStatus="STOPPED")
    ended = threading.Timer(0.3, lambda: ecs.tasks["arn:1"].update(lastStatus="STOPPED"))
    began = time.monotonic()
    ended.start()
    run.build(ecs, attempt=2)
    assert time.monotonic() - began > 0.3
    assert len(ecs.requests) == 1


def test_a_container_that_does_not_stop_lets_no_second_build_begin(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "STOP_SECONDS", 0.2)
    ecs = Ecs(reports)
    ecs.add("arn:1", {}, tasks.started_by(run.instance()), desiredStatus="STOPPED")
    with pytest.raises(AirflowException, match="arn:1 does not stop"):
        run.build(ecs, attempt=2)
    assert ecs.requests == []


def test_a_task_that_a_person_ends_stops_its_container(run: Run) -> None:
    def waits(ecs: Ecs, _: Any) -> None:
        while not run.task.task_arn:
            time.sleep(0.01)
        run.task.on_kill()
        assert next(iter(ecs.tasks.values()))["desiredStatus"] == "STOPPED"
        assert not run.task.has_ended()
        ecs.end(143, stopCode="UserInitiated")

    with pytest.raises(AirflowException, match="exit code 143"):
        run.build(Ecs(waits))
