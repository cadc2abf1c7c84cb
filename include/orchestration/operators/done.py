"""The last task of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Asset, AssetAlias, BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from include.manifest import Manifest
from include.messages import GOOD, XCOM_PROGRESS, Progress, from_plain
from include.orchestration.operators.selection import is_dry_run, selected_nodes, stale_sources

MARTS = AssetAlias("game_analytics_marts")
"""The alias under which a task emits the asset events of marts whose own tasks emit none."""


class DoneOperator(BaseOperator):
    """The last task: it succeeds only if no node of this run needed a stale source.

    A skipped node does not fail a run, and a run whose last task is skipped counts as a success, so
    this task fails instead. After a failed node it does not run, because of its trigger rule. It
    succeeds if the `producer` failed, since the nodes were then built by their own tasks, and
    returns a sentence about that.
    """

    def __init__(
        self,
        *,
        manifest: Manifest,
        producer: str | None = None,
        assets: Mapping[str, Asset],
        **kwargs: Any,
    ) -> None:
        super().__init__(trigger_rule="none_failed", retries=0, outlets=[MARTS], **kwargs)
        self.sources = {node: manifest.sources(node) for node in manifest.built}
        self.producer = producer
        self.assets = assets

    def execute(self, context: Any) -> str | None:
        """Raise AirflowFailException with the stale sources, if there are any."""
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
        if self.producer is None:
            return None
        ti = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=[self.producer])
        if states[ti.run_id].get(self.producer) != "failed":
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
