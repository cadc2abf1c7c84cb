"""The last task of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Asset, AssetAlias, BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from include.manifest import Manifest
from include.messages import GOOD, XCOM_PROGRESS, Progress, from_plain
from include.orchestration.operators.selection import (
    is_dry_run,
    is_replaced,
    selected_nodes,
    stale_sources,
    states_of,
)

MARTS = AssetAlias("game_analytics_marts")
"""The alias under which a task emits the asset events of marts whose own tasks emit none."""


class DoneOperator(BaseOperator):
    """The last task: it succeeds only if all that the form selected was built and recorded.

    A skipped node does not fail a run, and a run whose last task is skipped counts as a success, so
    this task fails instead: after a stale source, and if the task `record` was skipped although the
    form left out no node. After a failed node it does not run, because of its trigger rule. It
    succeeds if the `producer` failed, since the nodes were then built by their own tasks, and
    returns a sentence about that.
    """

    def __init__(
        self,
        *,
        manifest: Manifest,
        record: str = "record_partitions",
        producer: str | None = None,
        assets: Mapping[str, Asset],
        **kwargs: Any,
    ) -> None:
        super().__init__(trigger_rule="none_failed", retries=0, outlets=[MARTS], **kwargs)
        self.sources = {node: manifest.sources(node) for node in manifest.built}
        self.nodes = sorted(map(manifest.task_id, manifest.built))
        self.record = record
        self.producer = producer
        self.assets = assets

    def execute(self, context: Any) -> str | None:
        """Raise AirflowFailException if a source is stale or the run's days are not recorded."""
        if is_dry_run(context):
            return "Nothing was built: dry run."
        selected = selected_nodes(context)
        wanted = [
            sources
            for node, sources in self.sources.items()
            if selected is None or node in selected
        ]
        if stale := stale_sources(context) & frozenset().union(*wanted):
            message = f"Not everything was built: stale source {', '.join(sorted(stale))}."
            raise AirflowFailException(message)
        is_whole = selected is None or selected.issuperset(self.sources)
        states = states_of(context)
        if is_whole and (state := states.get(self.record)) != "success":
            raise AirflowFailException(
                f"{self.record} is {state or 'without a state'}, so no later run knows that this "
                "run's days are built: its log names the nodes that are not built. Clear these "
                "nodes with their downstream."
            )
        if not is_replaced(states, self.producer, self.nodes):
            return None
        message = f"{self.producer} failed: nodes have been built by their own tasks."
        self.log.warning("%s", message)
        self._emit_assets(context)
        return message

    def _emit_assets(self, context: Any) -> None:
        """Emit the asset events that the failed producer could not emit.

        After a clear there are none: the node tasks then end on workers, which emit their own.
        """
        stored = context["ti"].xcom_pull(task_ids=self.producer, key=XCOM_PROGRESS)
        if not stored:
            return
        progress = from_plain(stored, Progress)
        for task_id, node in progress.nodes.items():
            if node.status in GOOD and task_id in self.assets and not progress.clears:
                context["outlet_events"][MARTS].add(self.assets[task_id])
