"""The task that runs dbt once for all nodes, and publishes what it says of each as it ends."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.xcom import XCom
from game_analytics_triggers import NEWS, NODES, NOT_BUILT, SEEN

from include.manifest import Manifest
from include.operators import (
    FRESHNESS,
    DbtEnvironmentOperator,
    artifacts_of,
    form_of,
    result_of,
    selector,
    skip_reasons,
)
from include.settings import Settings

GOOD = frozenset({"success", "warn"})
NEWS_LINE = "dbt-news "
"""What a line of news begins with, see `build.NEWS`."""
MARTS = AssetAlias("game_analytics_marts")
"""The asset events of the producer: one for each mart that it has built."""


class DbtBuildOperator(DbtEnvironmentOperator):
    """Runs `include.watcher.build` for all nodes of the run that are not built yet.

    It is green if dbt came to its end: what failed is told by the task of the node. A second try
    goes on where the first has ended, as `dbt retry` does.
    """

    template_fields: Sequence[str] = ()

    def __init__(
        self,
        *,
        settings: Settings,
        manifest: Manifest,
        test_sources: Mapping[str, frozenset[str]],
        test_nodes: Mapping[str, frozenset[str]],
        asset_of: Callable[[str], Asset | None],
        **kwargs: Any,
    ) -> None:
        super().__init__(
            settings=settings, command=["include.watcher.build"], outlets=[MARTS], **kwargs
        )
        self.manifest = manifest
        self.test_sources = test_sources
        self.test_nodes = test_nodes
        self.asset_of = asset_of

    def execute(self, context: Any) -> dict[str, int]:
        """Build and publish; returns the number of nodes by status."""
        built = self.manifest.built
        channel = Channel(context, str(result_of(context, FRESHNESS, "at")))
        reasons = skip_reasons(
            context,
            {node: self.manifest.sources(node) for node in built},
            {node: frozenset({node}) for node in built},
        )
        for node, reason in reasons.items():
            if reason:
                channel.nodes[self.manifest.name(node)] = NOT_BUILT + reason
        wanted = frozenset(node for node in built if reasons[node] is None)
        wanted -= self._kept(context, channel, wanted)
        channel.flush()
        if wanted:
            tests = skip_reasons(context, self.test_sources, self.test_nodes)
            request = {
                "artifacts": str(artifacts_of(context)),
                "select": None
                if wanted == built
                else [selector(self.manifest.nodes[node]) for node in sorted(wanted)],
                "tests": [name for name, reason in tests.items() if reason is None],
                "full_refresh": form_of(context).full_refresh,
            }
            for news in self._follow(json.dumps(request), channel):
                task_id = str(news["unique_id"]).rsplit(".", 1)[-1]
                channel.tell(task_id, news)
                if news["status"] in GOOD and (asset := self.asset_of(news["unique_id"])):
                    context["outlet_events"][MARTS].add(asset)
        counts = Counter(status.split(":")[0] for status in channel.nodes.values())
        self.log.info("%s", ", ".join(f"{count} {status}" for status, count in counts.items()))
        return dict(counts)

    def _kept(self, context: Any, channel: Channel, nodes: frozenset[str]) -> frozenset[str]:
        """The nodes that this run has built already, or that somebody has marked as built."""
        if context["ti"].try_number == 1:
            return frozenset()
        states = channel.states(self.manifest.name(node) for node in nodes)
        kept = set()
        for node in nodes:
            name = self.manifest.name(node)
            if states.get(name) == "success" or channel.is_news(name):
                kept.add(node)
        # What is built anew is built anew with all that hangs on it, but for what is green.
        anew = nodes - kept
        kept -= {
            node
            for node in kept
            if states.get(self.manifest.name(node)) != "success"
            and anew & set(self.manifest.ancestors(node))
        }
        for node in kept:
            channel.nodes[self.manifest.name(node)] = "success"
        self.log.info("Already built: %s of %s nodes.", len(kept), len(nodes))
        return frozenset(kept)

    def _follow(self, request: str, channel: Channel) -> Iterator[dict[str, Any]]:
        """The news of dbt as they come; publishes what has come whenever nothing more waits."""
        said: SimpleQueue[str | BaseException | None] = SimpleQueue()

        def read() -> None:
            try:
                for line in self.lines(request=request):
                    said.put(line)
                said.put(None)
            except BaseException as error:  # noqa: BLE001
                said.put(error)

        # Publishing takes longer than dbt needs to tell, and dbt must not wait for it.
        Thread(target=read, daemon=True).start()
        while True:
            try:
                line = said.get_nowait()
            except Empty:
                channel.flush()
                line = said.get()
            if line is None:
                channel.flush()
                return
            if isinstance(line, BaseException):
                channel.flush()
                raise line
            if line.startswith(NEWS_LINE):
                yield json.loads(line.removeprefix(NEWS_LINE))
            else:
                self.log.info("%s", line)


class Channel:
    """The producer's end of the channel, see this package's docstring."""

    def __init__(self, context: Any, plan: str) -> None:
        self.ti = context["ti"]
        self.generation = {"plan": plan, "try": self.ti.try_number}
        self.nodes: dict[str, str] = {}
        self.flushed: dict[str, str] | None = None
        # XComs of a task go when its next try begins, its state stays.
        self.store = context["task_state_store"]
        self.before: Mapping[str, Any] = self.store.get(NODES) or {}

    def tell(self, task_id: str, news: Mapping[str, Any]) -> None:
        """Publish the news of a node, and its status with the next `flush`."""
        try:
            XCom.set(NEWS, news, dag_id=self.ti.dag_id, run_id=self.ti.run_id, task_id=task_id)
        except Exception:
            # A node that a deploy has added or removed meanwhile has no task in this run.
            self.ti.log.exception("The run has no task %s: its news are lost.", task_id)
            return
        self.nodes[task_id] = news["status"]

    def flush(self) -> None:
        """Publish the status of all nodes, if one has changed."""
        if self.flushed != self.nodes:
            said = {**self.generation, "nodes": self.nodes}
            self.ti.xcom_push(NODES, said)
            self.store.set(NODES, said)
            self.flushed = dict(self.nodes)

    def states(self, task_ids: Any) -> Mapping[str, str | None]:
        """The state of tasks of this run, by task id."""
        found = self.ti.get_task_states(
            dag_id=self.ti.dag_id, run_ids=[self.ti.run_id], task_ids=list(task_ids)
        )
        states: Mapping[str, str | None] = found.get(self.ti.run_id, {})
        return states

    def is_news(self, task_id: str) -> bool:
        """Whether an earlier try has built the node by this plan, and its task has not ended so."""
        if self.before.get("plan") != self.generation["plan"]:
            return False
        if self.before["nodes"].get(task_id) not in GOOD:
            return False
        seen = XCom.get_one(
            key=SEEN, dag_id=self.ti.dag_id, run_id=self.ti.run_id, task_id=task_id, map_index=-1
        )
        known = {"plan": self.before["plan"], "producer_try": self.before["try"]}
        return not (seen and known.items() <= seen.items())
