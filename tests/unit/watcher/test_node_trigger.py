"""What a node's trigger makes of what the producer has said, and of the producer's end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import game_analytics_triggers as triggers
from airflow.triggers.base import TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

PLAN, OLD = "2026-09-01T04:30", "2026-08-31T04:30"


class Instance:
    """A task instance of the node `a`, and all that its triggerer could be asked for."""

    dag_id, run_id, task_id = "game_analytics", "r", "a"

    def __init__(self, attempt: int, states: list[str | None], xcoms: dict[Any, Any]) -> None:
        self.try_number = attempt
        self.states = states
        self.xcoms = xcoms

    cleared = 0

    def get_template_context(self) -> dict[str, Any]:
        return {"dag_run": SimpleNamespace(clear_number=self.cleared)}

    def get_task_states(self, **asked: Any) -> dict[str, dict[str, str | None]]:
        assert asked["task_ids"] == ["dbt_build"]
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"r": {"dbt_build": state}} if state != "gone" else {"r": {}}


def outcome(
    monkeypatch: pytest.MonkeyPatch,
    status: str | None,
    *states: str | None,
    attempt: int = 1,
    said_by: tuple[str, int] = (PLAN, 1),
    seen: dict[str, Any] | None = None,
    cleared: int = 0,
) -> tuple[TriggerEvent, dict[Any, Any]]:
    """The event of the node's trigger; the states are the producer's, poll by poll."""
    xcoms: dict[Any, Any] = {("return_value", "freshness"): {"stale": [], "at": PLAN}}
    nodes = {"a": status} if status else {}
    xcoms["nodes", "dbt_build"] = {"plan": said_by[0], "try": said_by[1], "nodes": nodes}
    if seen:
        xcoms["seen", "a"] = seen

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
        trigger = triggers.NodeTrigger("dbt_build", "freshness")
        trigger._task_instance = Instance(attempt, list(states), xcoms)
        trigger._task_instance.cleared = cleared
        async for event in trigger.run():
            return event
        raise AssertionError

    return asyncio.run(asyncio.wait_for(first(), 5)), xcoms


@pytest.mark.parametrize("status", ["success", "warn"])
def test_a_good_node_ends_in_the_triggerer(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    event, xcoms = outcome(monkeypatch, status, "running")
    assert isinstance(event, TaskSuccessEvent)
    assert xcoms["seen", "a"] == {"try": 1, "plan": PLAN, "producer_try": 1}
    assert xcoms["_link_NodeLink", "a"] == "/game-analytics/game_analytics/r/a"
    # What was upstream_failed before has an end, which would stay.
    event, _ = outcome(monkeypatch, status, "running", cleared=1)
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
    event, xcoms = outcome(monkeypatch, status, None, "queued", "running", "up_for_retry", state)
    assert (type(event), event.payload) == (TriggerEvent, {"status": None})
    assert ("seen", "a") not in xcoms


def test_what_was_said_by_another_plan_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    event, _ = outcome(monkeypatch, "success", "running", "success", said_by=(OLD, 1))
    assert event.payload == {"status": None}


def test_what_a_cleared_producer_said_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its XCom stays until its next try begins, and it may come to another end then."""
    event, _ = outcome(monkeypatch, "success", None, "queued", "up_for_retry", "upstream_failed")
    assert (type(event), event.payload) == (TriggerEvent, {"status": None})


def test_a_second_try_does_not_end_with_the_news_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {"try": 1, "plan": PLAN, "producer_try": 1}
    event, _ = outcome(monkeypatch, "success", "running", "success", attempt=2, seen=seen)
    assert event.payload == {"status": None}


def test_a_second_try_ends_with_the_producers_next_try_on_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {"try": 1, "plan": PLAN, "producer_try": 1}
    event, xcoms = outcome(
        monkeypatch, "success", "running", attempt=2, seen=seen, said_by=(PLAN, 2)
    )
    # In the triggerer its end would stay that of the first try.
    assert (type(event), event.payload) == (TriggerEvent, {"status": "success"})
    assert xcoms["seen", "a"] == {"try": 2, "plan": PLAN, "producer_try": 2}


def test_a_trigger_that_was_restarted_ends_as_it_would_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A triggerer may die between the note of what was seen and the event."""
    seen = {"try": 1, "plan": PLAN, "producer_try": 1}
    event, _ = outcome(monkeypatch, "success", "running", attempt=1, seen=seen)
    assert isinstance(event, TaskSuccessEvent)


def test_a_lasting_fault_of_the_database_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "PATIENCE", 3)

    def broken(*_: Any, **__: Any) -> None:
        raise ConnectionError("no database")

    monkeypatch.setattr(Instance, "get_task_states", broken)
    with pytest.raises(ConnectionError, match="no database"):
        outcome(monkeypatch, "success", "running")


def test_it_can_be_made_anew_from_what_is_stored() -> None:
    path, arguments = triggers.NodeTrigger("dbt_build", "freshness").serialize()
    assert path == "game_analytics_triggers.NodeTrigger"
    assert triggers.NodeTrigger(**arguments).serialize() == (path, arguments)
