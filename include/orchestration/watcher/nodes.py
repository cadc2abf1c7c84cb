"""Tasks that wait for the producer in the triggerer, and need a worker only if something is wrong.

They are the tasks of the nodes, the cross-model tests, and the task `freshness`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException
from airflow.triggers.base import StartTriggerArgs
from game_analytics_triggers import NodeTrigger

from include.messages import (
    FAILED,
    NOT_BUILT,
    XCOM_NODE_RESULT,
    NodeEvent,
    NodeResult,
    from_plain,
)
from include.orchestration.operators.nodes import CrossModelTestsOperator, DbtNodeOperator
from include.orchestration.operators.steps import DbtEnvironmentOperator
from include.orchestration.watcher.older_airflow import (
    STARTS_IN_TRIGGERER,
    WORKER_SECONDS,
    producer_now,
    restore_node_result,
)

PRODUCER = "dbt_build"
"""The task id of the producer, a `DbtBuildOperator`."""


class WatchedOperator:
    """Makes a task wait for the producer's node result instead of running dbt.

    A mixin for an operator that runs dbt for this node alone. A worker does that if the producer
    has ended without building the node, and on every retry.
    """

    start_from_trigger = STARTS_IN_TRIGGERER
    start_trigger_args = StartTriggerArgs(
        trigger_cls="game_analytics_triggers.NodeTrigger",
        trigger_kwargs={"producer": PRODUCER},
        next_method="resume",
    )

    def execute(self, context: Any) -> Any:
        """Wait in the triggerer, unless dbt has ended without building the node.

        Airflow calls this if it cannot start the task in the triggerer.
        """
        ti = context["ti"]
        restore_node_result(ti)
        trigger = NodeTrigger(PRODUCER, WORKER_SECONDS)
        producer = producer_now(ti, PRODUCER)
        if trigger.status_now(producer, ti) is not None:
            # This raises TaskDeferred.
            self.defer(  # type: ignore[attr-defined]
                trigger=trigger, method_name=self.start_trigger_args.next_method
            )
        text = "%s has no result of this task, so it runs dbt itself."
        self.log.info(text, PRODUCER)  # type: ignore[attr-defined]
        return self.resume(context, trigger.event(None, producer, ti))

    def resume(self, context: Any, event: Mapping[str, Any]) -> Any:
        """Raise what the producer has found, or run dbt for this task alone; returns its result."""
        status = from_plain(event, NodeEvent).status
        if status is None:
            return super().execute(context)  # type: ignore[misc]
        if status.startswith(NOT_BUILT):
            raise AirflowSkipException(status)
        if status in FAILED:
            stored = context["ti"].xcom_pull(task_ids=context["ti"].task_id, key=XCOM_NODE_RESULT)
            if stored is None:
                return super().execute(context)  # type: ignore[misc]
            problems = from_plain(stored, NodeResult).problems
            self.raise_for_problems(problems, context)  # type: ignore[attr-defined]
        # Airflow keeps the result that the producer has published for the task.
        return None


class WatchedNodeOperator(WatchedOperator, DbtNodeOperator):  # type: ignore[misc]
    """Builds one node with its tests, in mode `watcher`."""


class WatchedTestsOperator(WatchedOperator, CrossModelTestsOperator):  # type: ignore[misc]
    """Runs the cross-model tests, in mode `watcher`."""


class WatchedFreshnessOperator(WatchedOperator, DbtEnvironmentOperator):  # type: ignore[misc]
    """Finds the stale sources, in mode `watcher`: the producer's dbt process answers.

    A worker runs `include.lake freshness` if dbt has no answer, and on every retry.
    """
