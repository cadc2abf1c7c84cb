"""What a node's trigger makes of what the producer has said, and of the producer's end."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import game_analytics_triggers as triggers
import uuid6
from airflow.triggers.base import TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

CREATED = 1_790_000_000.0
"""When the try of the node's task came into being."""
LATER, BEFORE = CREATED + 10, CREATED - 10


def task_instance_id(at: float) -> UUID:
    """An id as Airflow makes it: a UUID of version 7."""
    return UUID(int=(int(at * 1000) << 80) | (7 << 76) | (2 << 62) | 12345)


class Instance:
    """A task instance of the node `a`, and all that its triggerer could be asked for."""

    dag_id, run_id, task_id = "game_analytics", "r", "a"
    id = task_instance_id(CREATED)

    def __init__(self, attempt: int, states: list[str | None]) -> None:
        self.try_number = attempt
        self.states = states

    def get_task_states(self, **asked: Any) -> dict[str, dict[str, str | None]]:
        assert asked["task_ids"] == ["dbt_build"]
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
) -> tuple[TriggerEvent, dict[Any, Any]]:
    """The event of the node's trigger; the states are the producer's, poll by poll."""
    nodes = {"a": [status, at]} if status else {}
    said = {"try": 1, "clears": clears, "done": done, "nodes": nodes}
    xcoms: dict[Any, Any] = {("nodes", "dbt_build"): said}

    class Store:
        @staticmethod
        async def aget_one(*, key: str, task_id: str, **_: Any) -> Any:
            return xcoms.get((key, task_id))

        @staticmethod
        async def aset(*, key: str, value: Any, task_id: str, **_: Any) -> None:
            xcoms[key, task_id] = value

    monkeypatch.setattr(triggers, "XCom", Store)
    monkeypatch.setattr(triggers, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(triggers.Producer, "known", {})

    async def first() -> TriggerEvent:
        trigger = triggers.NodeTrigger("dbt_build")
        trigger._task_instance = Instance(attempt, list(states))
        async for event in trigger.run():
            return event
        raise AssertionError

    return asyncio.run(asyncio.wait_for(first(), 5)), xcoms


@pytest.mark.parametrize("status", ["success", "warn"])
def test_a_good_node_ends_in_the_triggerer(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    event, xcoms = outcome(monkeypatch, status, "running")
    assert isinstance(event, TaskSuccessEvent)
    assert xcoms["_link_NodeLink", "a"] == "/game-analytics/game_analytics/r/a"
    # What was upstream_failed before has an end, which would stay.
    event, _ = outcome(monkeypatch, status, "running", clears=1)
    assert (type(event), event.payload) == (TriggerEvent, {"status": status})


@pytest.mark.parametrize("status", ["fail", "error"])
def test_a_failure_gets_a_worker_at_once(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    event, _ = outcome(monkeypatch, status, "running")
    assert (type(event), event.payload) == (TriggerEvent, {"status": status})


def test_what_is_no_part_of_the_run_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(
        outcome(monkeypatch, "not built: not selected", "running")[0], TaskSkippedEvent
    )
    # A producer that was skipped stands for a run in which nothing is built.
    assert isinstance(outcome(monkeypatch, None, "running", "skipped")[0], TaskSkippedEvent)


@pytest.mark.parametrize("state", ["success", "failed", "upstream_failed", "removed", "gone"])
@pytest.mark.parametrize("status", [None, "skipped"])
def test_what_dbt_has_not_built_gets_a_worker_when_dbt_has_ended(
    monkeypatch: pytest.MonkeyPatch, status: str | None, state: str
) -> None:
    event, _ = outcome(monkeypatch, status, None, "queued", "running", "up_for_retry", state)
    # Whether it failed while this one waited, or long before it was cleared.
    told = {"producer_failed": True} if state == "failed" else {}
    assert (type(event), event.payload) == (TriggerEvent, {"status": None, **told})
    event, _ = outcome(monkeypatch, status, state, attempt=2)
    assert event.payload == {"status": None}


@pytest.mark.parametrize("attempt", [1, 2])
@pytest.mark.parametrize("at", [BEFORE, CREATED, CREATED + triggers.MARGIN_SECONDS])
@pytest.mark.parametrize("status", ["success", "fail", "not built: not selected"])
def test_what_was_said_before_a_retry_or_clear_does_not_count(
    monkeypatch: pytest.MonkeyPatch, attempt: int, at: float, status: str
) -> None:
    """Nor does it if the producer still runs: then the node waits for its end."""
    event, _ = outcome(monkeypatch, status, "running", "success", attempt=attempt, at=at)
    assert (type(event), event.payload) == (TriggerEvent, {"status": None})


def test_a_later_try_that_is_told_anew_ends_on_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    # In the triggerer its end would stay that of the first try.
    event, _ = outcome(monkeypatch, "success", "running", attempt=2)
    assert (type(event), event.payload) == (TriggerEvent, {"status": "success"})


def test_a_dbt_whose_task_ended_without_a_word_has_time_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(triggers, "STOP_SECONDS", 0.2)
    began = time.monotonic()
    outcome(monkeypatch, None, "running", "success", done=False)
    assert time.monotonic() > began + 0.2


def test_a_lasting_fault_of_the_database_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "PATIENCE", 3)

    def broken(*_: Any, **__: Any) -> None:
        raise ConnectionError("no database")

    monkeypatch.setattr(Instance, "get_task_states", broken)
    with pytest.raises(ConnectionError, match="no database"):
        outcome(monkeypatch, "success", "running")


def test_the_time_of_an_id_is_that_of_its_making() -> None:
    before = time.time()
    made = triggers.created(uuid6.uuid7())
    assert before - 0.01 <= made <= time.time() + 0.01


def test_it_can_be_made_anew_from_what_is_stored() -> None:
    path, arguments = triggers.NodeTrigger("dbt_build").serialize()
    assert path == "game_analytics_triggers.NodeTrigger"
    assert triggers.NodeTrigger(**arguments).serialize() == (path, arguments)
