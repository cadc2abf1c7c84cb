"""A node's task: it waits in the triggerer, and a worker runs only if something is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException
from airflow.triggers.base import StartTriggerArgs
from game_analytics_triggers import NEWS, NOT_BUILT

from include.orchestration.operators.nodes import CrossModelTestsOperator, DbtNodeOperator

PRODUCER = "dbt_build"
"""The task of the `DbtBuildOperator`."""


class WatchedOperator:
    """What a task does that waits for the producer's news instead of running dbt.

    To be mixed into an operator that runs dbt for this node alone: that is what a worker does if
    the producer has ended without it, and on every retry.
    """

    start_from_trigger = True
    start_trigger_args = StartTriggerArgs(
        trigger_cls="game_analytics_triggers.NodeTrigger",
        trigger_kwargs={"producer": PRODUCER},
        next_method="resume",
    )

    def resume(self, context: Any, event: Mapping[str, Any]) -> None:
        """Tell of what the producer has found, or run dbt for this node alone."""
        status = event["status"]
        if status is None:
            self.execute(context)  # type: ignore[attr-defined]
        elif status.startswith(NOT_BUILT):
            raise AirflowSkipException(status)
        elif status in {"fail", "error"}:
            news = context["ti"].xcom_pull(task_ids=context["ti"].task_id, key=NEWS)
            self.raise_for_news(news, context)  # type: ignore[attr-defined]


class WatchedNodeOperator(WatchedOperator, DbtNodeOperator):  # type: ignore[misc]
    """One node with its tests."""


class WatchedTestsOperator(WatchedOperator, CrossModelTestsOperator):  # type: ignore[misc]
    """The tests that span nodes."""
