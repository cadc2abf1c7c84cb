"""The last task of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Asset, AssetAlias, BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from game_analytics_triggers import NODES

from include.manifest import Manifest
from include.orchestration.operators.selection import is_dry_run, selected_nodes, stale_sources

GOOD = frozenset({"success", "warn"})
"""The statuses of a node that its tests have passed, or warned of."""
MARTS = AssetAlias("game_analytics_marts")
"""The asset events of tasks that emit them for others: one for each mart that was built."""


class DoneOperator(BaseOperator):
    """The last task: green only if no source was stale that a node of this run needs.

    A skipped node does not make the run fail, and a run whose last task is skipped would count as
    a success. Failed nodes never get here: the trigger rule sees them, whatever was skipped. A
    `producer` that failed is no reason to be red, since the nodes have built themselves: that is
    said in the task's result.
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
        if states[ti.run_id].get(self.producer) == "failed":
            message = f"{self.producer} failed: nodes have been built by their own tasks."
            self.log.warning("%s", message)
            # Its own asset events were lost with it.
            said = ti.xcom_pull(task_ids=self.producer, key=NODES) or {"nodes": {}, "clears": 0}
            for task_id, (status, _) in said["nodes"].items():
                if status in GOOD and task_id in self.assets and not said["clears"]:
                    context["outlet_events"][MARTS].add(self.assets[task_id])
            return message
        return None
