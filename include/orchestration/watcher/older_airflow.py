"""What replaces two functions of Airflow 3.3 in Airflow 3.2, which MWAA also offers.

Airflow 3.3 can start a task in the triggerer (`start_from_trigger`). In Airflow 3.2 that setting
has no effect: each task starts on a worker, which deletes the task's XComs first. The producer may
have published the node result by then, so it keeps a copy, from which the worker restores the XCom.

Airflow 3.3 also keeps a task's state between its tries. Airflow 3.2 keeps nothing, so the state and
the copies are XComs of the task `preflight`, which starts once unless it is cleared. A clear
deletes them, and a node task whose result is gone runs dbt itself.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import BaseTrigger
from game_analytics_triggers import Producer

from include.messages import XCOM_NODE_RESULT, XCOM_PROGRESS
from include.orchestration.operators.selection import PREFLIGHT

STARTS_IN_TRIGGERER = hasattr(BaseTrigger, "render_template_fields")
"""Whether Airflow can start a task in the triggerer. A trigger has this method only in an Airflow
that can, because it must then render the templates of its task."""

WORKER_SECONDS = 15.0
"""How long a task that a worker has handed to the triggerer stays there before it may return to a
worker. Airflow 3.2.1 notices the end of a worker's process up to 6 s later (measured), plus one
loop of its scheduler. If the task has started on a worker again by then, Airflow 3.2.1 fails it."""


class KeptXComs:
    """Values that belong to a task and stay when the task starts: XComs of the task `preflight`.

    The key of a value is the id of its task, a dot and its own key.
    """

    def __init__(self, ti: Any, task_id: str) -> None:
        self.task_id = task_id
        self.run = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": PREFLIGHT}

    def get(self, key: str) -> Any:
        """Return a value, or None."""
        return XCom.get_one(key=f"{self.task_id}.{key}", map_index=-1, **self.run)

    def set(self, key: str, value: Any) -> None:
        """Write a value, which JSON must be able to hold."""
        XCom.set(f"{self.task_id}.{key}", value, **self.run)


def task_state(context: Any) -> Any:
    """Return what keeps values between the tries of this task, with the methods `get` and `set`."""
    if STARTS_IN_TRIGGERER:
        return context["task_state_store"]
    return KeptXComs(context["ti"], context["ti"].task_id)


def keep_node_result(ti: Any, task_id: str, result: Any) -> None:
    """Keep a copy of a node result if the node's task may lose its XCom; `ti` is of the producer.

    The copy must be written before the XCom, so that a worker that deletes the XCom finds the copy.
    """
    if not STARTS_IN_TRIGGERER:
        KeptXComs(ti, task_id).set(XCOM_NODE_RESULT, result)


def restore_node_result(ti: Any) -> None:
    """Write the node result of this task again, if the producer has published it already."""
    if result := KeptXComs(ti, ti.task_id).get(XCOM_NODE_RESULT):
        ti.xcom_push(XCOM_NODE_RESULT, result)


def producer_now(ti: Any, task_id: str) -> Producer:
    """Return the producer of this task's run as it is now; the triggerer polls it instead."""
    run = {"dag_id": ti.dag_id, "run_id": ti.run_id}
    producer = Producer(**run, task_id=task_id)
    # The state is read first: if the producer has ended, its progress is final.
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=[task_id])
    producer.state = states.get(ti.run_id, {}).get(task_id, "removed")
    found = XCom.get_one(key=XCOM_PROGRESS, task_id=task_id, map_index=-1, **run)
    producer.progress = found or {}
    return producer
