"""How a node's trigger ends, by the progress of the producer and by the producer's own end."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import game_analytics_triggers as triggers
import uuid6
from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.sdk import DAG, BaseOperator
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.base import TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

from include import messages
from include.messages import (
    NOT_BUILT,
    XCOM_NODE_RESULT,
    XCOM_PROGRESS,
    NodeEvent,
    NodeProgress,
    NodeResult,
    Progress,
    from_plain,
    to_plain,
)
from include.orchestration.operators.nodes import NodeLink

CREATED = 1_790_000_000.0
"""When the try of the node's task was created."""
LATER, BEFORE = CREATED + 10, CREATED - 10
RESULT = NodeResult("model.p.a", "success", 1.25, 7, ("OK created a",), ())


def task_instance_id(at: float) -> UUID:
    """Return an id as Airflow makes it: a UUID of version 7."""
    return UUID(int=(int(at * 1000) << 80) | (7 << 76) | (2 << 62) | 12345)


class Instance:
    """A task instance of the node `a`, with the parts that its trigger uses."""

    dag_id, run_id, task_id = "game_analytics", "r", "a"
    id = task_instance_id(CREATED)

    def __init__(self, attempt: int, states: list[str | None]) -> None:
        self.try_number = attempt
        self.states = states

    def get_task_states(self, **options: Any) -> dict[str, dict[str, str | None]]:
        assert options["task_ids"] == ["dbt_build"]
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"r": {"dbt_build": state}} if state != "gone" else {"r": {}}


def outcome(
    monkeypatch: pytest.MonkeyPatch,
    status: str | None,
    *states: str | None,
    attempt: int = 1,
    at: float = LATER,
    clears: int = 0,
    done: bool = True,
    worker_seconds: float = 0.0,
    is_old: bool = False,
) -> tuple[TriggerEvent, dict[Any, Any]]:
    """Return the event of the node's trigger, and the XComs after it.

    `states` are the producer's states, poll by poll. With `is_old`, Airflow has no asynchronous
    access to XComs.
    """
    nodes = {"a": NodeProgress(status, at)} if status else {}
    progress = Progress(try_number=1, clears=clears, done=done, nodes=nodes)
    xcoms: dict[Any, Any] = {
        (XCOM_PROGRESS, "dbt_build"): to_plain(progress),
        (XCOM_NODE_RESULT, "a"): to_plain(RESULT),
    }

    class Store:
        @staticmethod
        async def aget_one(*, key: str, task_id: str, **_: Any) -> Any:
            return xcoms.get((key, task_id))

        @staticmethod
        async def aset(*, key: str, value: Any, task_id: str, **_: Any) -> None:
            xcoms[key, task_id] = value

    class OldStore:
        @staticmethod
        def get_one(*, key: str, task_id: str, **_: Any) -> Any:
            return xcoms.get((key, task_id))

        @staticmethod
        def set(*, key: str, value: Any, task_id: str, **_: Any) -> None:
            xcoms[key, task_id] = value

    instance = Instance(attempt, list(states))
    monkeypatch.setattr(triggers, "task_states", instance.get_task_states)
    monkeypatch.setattr(triggers, "XCom", OldStore if is_old else Store)
    monkeypatch.setattr(triggers, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(triggers, "STATE_SECONDS", 0.0)
    monkeypatch.setattr(triggers.Producer, "known", {})

    async def first() -> TriggerEvent:
        trigger = triggers.NodeTrigger("dbt_build", worker_seconds)
        trigger.task_instance = instance  # type: ignore[assignment]
        async for event in trigger.run():
            return event
        raise AssertionError

    return asyncio.run(asyncio.wait_for(first(), 5)), xcoms


def worker_event(event: TriggerEvent) -> NodeEvent:
    """Return the message of an event that hands the task to a worker, as the worker reads it."""
    assert type(event) is TriggerEvent
    assert set(event.payload) == set(to_plain(NodeEvent(None)))
    return from_plain(event.payload, NodeEvent)


@pytest.mark.parametrize(
    "name", ["XCOM_PROGRESS", "XCOM_NODE_RESULT", "NOT_BUILT", "RUN_ALONE", "GOOD"]
)
def test_the_trigger_has_the_names_of_the_messages(name: str) -> None:
    assert getattr(triggers, name) == getattr(messages, name)


@pytest.mark.parametrize("text", ["scheduled__2026-09-30T04:30:00+00:00", "../../etc", "..", ""])
def test_the_plugins_and_the_messages_name_a_file_alike(text: str) -> None:
    assert triggers.file_name(text) == messages.file_name(text)


def test_the_trigger_has_the_link_of_the_node_tasks() -> None:
    assert NodeLink().xcom_key == triggers.LINK


def test_the_log_of_a_task_shows_the_result_of_its_node(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome(monkeypatch, "success", "running")
    first, second = capsys.readouterr().out.splitlines()
    assert "OK created a" in first
    assert "success, 1.25 s in dbt, 7 rows" in second


@pytest.mark.parametrize("status", sorted(messages.GOOD))
def test_a_good_node_ends_in_the_triggerer(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    event, xcoms = outcome(monkeypatch, status, "running")
    assert isinstance(event, TaskSuccessEvent)
    assert xcoms["_link_NodeLink", "a"] == "/game-analytics/game_analytics/r/a"
    # After a clear it ends on a worker: an end time from before the clear would stay otherwise.
    event, _ = outcome(monkeypatch, status, "running", clears=1)
    assert worker_event(event) == NodeEvent(status)


@pytest.mark.parametrize("status", sorted(messages.FAILED))
def test_a_failure_gets_a_worker_at_once(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    event, _ = outcome(monkeypatch, status, "running")
    assert worker_event(event) == NodeEvent(status)


def test_a_node_that_the_run_does_not_build_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(
        outcome(monkeypatch, f"{NOT_BUILT}not selected", "running")[0], TaskSkippedEvent
    )
    # A run whose producer is skipped builds nothing.
    event, _ = outcome(monkeypatch, None, "running", "skipped", done=False)
    assert isinstance(event, TaskSkippedEvent)


def test_after_a_producer_that_gave_up_a_node_that_is_cleared_builds_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event, _ = outcome(monkeypatch, None, "skipped", attempt=2)
    assert worker_event(event) == NodeEvent(None)


def test_a_task_without_an_answer_gets_a_worker_while_the_producer_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event, _ = outcome(monkeypatch, messages.RUN_ALONE, "running", done=False)
    assert worker_event(event) == NodeEvent(None)
    # That an earlier try had no answer says nothing about this one.
    event, _ = outcome(monkeypatch, messages.RUN_ALONE, "running", "failed", at=BEFORE)
    assert worker_event(event) == NodeEvent(None, producer_failed=True)


@pytest.mark.parametrize("state", ["success", "failed", "upstream_failed", "removed", "gone"])
@pytest.mark.parametrize("status", [None, "skipped"])
def test_a_node_that_dbt_has_not_built_gets_a_worker_when_dbt_has_ended(
    monkeypatch: pytest.MonkeyPatch, status: str | None, state: str
) -> None:
    event, _ = outcome(monkeypatch, status, None, "queued", "running", "up_for_retry", state)
    assert worker_event(event) == NodeEvent(None, producer_failed=state == "failed")
    # A producer that failed before this try began is not the reason for it.
    event, _ = outcome(monkeypatch, status, state, attempt=2)
    assert worker_event(event) == NodeEvent(None)


@pytest.mark.parametrize("attempt", [1, 2])
@pytest.mark.parametrize("at", [BEFORE, CREATED, CREATED + triggers.MARGIN_SECONDS])
@pytest.mark.parametrize("status", ["success", "fail", f"{NOT_BUILT}not selected"])
def test_a_status_from_before_a_retry_or_clear_does_not_count(
    monkeypatch: pytest.MonkeyPatch, attempt: int, at: float, status: str
) -> None:
    """It does not count while the producer still runs, either: the node waits for its end."""
    event, _ = outcome(monkeypatch, status, "running", "success", attempt=attempt, at=at)
    assert worker_event(event) == NodeEvent(None)


def test_a_later_try_with_a_new_status_ends_on_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    # If it ended in the triggerer, it would keep the end time of the first try.
    event, _ = outcome(monkeypatch, "success", "running", attempt=2)
    assert worker_event(event) == NodeEvent("success")


def test_a_dbt_that_has_not_published_its_end_has_time_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(triggers, "STOP_SECONDS", 0.2)
    began = time.monotonic()
    outcome(monkeypatch, None, "running", "success", done=False)
    assert time.monotonic() > began + 0.2


def test_the_state_of_a_producer_is_read_at_most_once_in_a_while_and_for_each_new_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each look-up costs the triggerer processor time, however many nodes wait."""
    looked: list[float] = []

    def count(**_: Any) -> dict[str, dict[str, str | None]]:
        looked.append(time.monotonic())
        return {"r": {"dbt_build": "running"}}

    class Store:
        @staticmethod
        async def aget_one(**_: Any) -> Any:
            return to_plain(Progress(1, 0, False, {}))

    monkeypatch.setattr(triggers, "XCom", Store)
    monkeypatch.setattr(triggers, "task_states", count)
    monkeypatch.setattr(triggers, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(triggers.Producer, "known", {})

    async def wait() -> None:
        waiting = [triggers.Producer.of(Instance(1, []), "dbt_build") for _ in range(200)]
        producer = waiting[0]
        await producer.wait(50)
        assert len(looked) == 1
        triggers.Producer.of(Instance(1, []), "dbt_build")
        await producer.wait(producer.polls_begun + 2)
        assert len(looked) == 2
        assert producer.task
        producer.task.cancel()

    asyncio.run(asyncio.wait_for(wait(), 5))


def test_a_lasting_error_of_the_database_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "MAX_FAILED_POLLS", 3)

    def broken(*_: Any, **__: Any) -> None:
        raise ConnectionError("no database")

    monkeypatch.setattr(Instance, "get_task_states", broken)
    with pytest.raises(ConnectionError, match="no database"):
        outcome(monkeypatch, "success", "running")


def test_airflow_without_asynchronous_xcoms_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    event, xcoms = outcome(monkeypatch, "success", "running", is_old=True)
    assert isinstance(event, TaskSuccessEvent)
    assert xcoms["_link_NodeLink", "a"] == "/game-analytics/game_analytics/r/a"
    assert "OK created a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "states", "attempt"),
    [
        ("fail", ["running"], 1),
        (messages.RUN_ALONE, ["running"], 1),
        (None, ["running", "success"], 1),
        ("success", ["running"], 2),
        (None, ["skipped"], 2),
    ],
)
def test_a_task_that_a_worker_has_handed_over_returns_to_a_worker_only_after_a_while(
    monkeypatch: pytest.MonkeyPatch, status: str | None, states: list[str], attempt: int
) -> None:
    began = time.monotonic()
    event, _ = outcome(monkeypatch, status, *states, attempt=attempt, worker_seconds=0.2)
    assert type(event) is TriggerEvent
    assert time.monotonic() >= began + 0.2


def test_a_task_that_needs_no_worker_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    event, _ = outcome(monkeypatch, "success", "running", worker_seconds=60)
    assert isinstance(event, TaskSuccessEvent)
    event, _ = outcome(monkeypatch, f"{NOT_BUILT}not selected", "running", worker_seconds=60)
    assert isinstance(event, TaskSkippedEvent)


def test_the_time_of_an_id_is_the_time_of_its_creation() -> None:
    before = time.time()
    made = triggers.created(uuid6.uuid7())
    assert before - 0.01 <= made <= time.time() + 0.01


def test_a_task_that_waits_does_not_keep_the_dag_in_memory() -> None:
    """Airflow deserializes the whole DAG for each trigger: 5 MB if the DAG has 1,000 tasks."""
    with DAG("game_analytics") as made:
        BaseOperator(task_id="a")
    run = {
        **{"dag_id": "game_analytics", "run_id": "r", "run_type": "manual", "state": "running"},
        **{"run_after": datetime.now(UTC), "consumed_asset_events": []},
        **{"logical_date": None, "data_interval_start": None, "data_interval_end": None},
        **{"start_date": datetime.now(UTC), "end_date": None, "conf": None, "partition_key": None},
    }
    instance = TaskInstanceDTO(
        id=task_instance_id(CREATED),
        dag_version_id=task_instance_id(CREATED),
        dag_id="game_analytics",
        run_id="r",
        task_id="a",
        try_number=1,
        pool_slots=1,
        queue="default",
        priority_weight=1,
    )
    # As Airflow's triggerer starts a trigger.
    ti = TriggerRunner.create_runtime_ti(instance, DagSerialization.to_dict(made), run)
    context = ti.get_template_context()
    trigger = triggers.NodeTrigger("dbt_build")
    trigger.task_instance = ti  # type: ignore[assignment]
    dag = weakref.ref(ti.task.dag)
    gc.collect()
    assert dag() is not None
    trigger.render_template_fields(context)
    gc.collect()
    assert dag() is None
    assert trigger.task_id == ti.task_id == "a"


def test_a_stored_trigger_can_be_made_again() -> None:
    path, arguments = triggers.NodeTrigger("dbt_build").serialize()
    assert path == "game_analytics_triggers.NodeTrigger"
    assert triggers.NodeTrigger(**arguments).serialize() == (path, arguments)
