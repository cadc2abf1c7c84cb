"""The task that runs dbt once for all nodes, and publishes what it says of each as it ends."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.execution_time.xcom import XCom
from game_analytics_triggers import NEWS, NODES, NOT_BUILT

from include.manifest import Manifest
from include.orchestration.operators.artifacts import artifacts_of
from include.orchestration.operators.done import GOOD, MARTS
from include.orchestration.operators.selection import form_of, skip_reasons
from include.orchestration.operators.steps import DbtEnvironmentOperator
from include.orchestration.watcher import NEWS_LINE
from include.settings import Settings

logger = logging.getLogger(__name__)

BUSY = frozenset({"running", "queued", "restarting"})
SUPERVISOR_SECONDS = 5
"""How often a silent build looks whether it is still wanted."""


class DbtBuildOperator(DbtEnvironmentOperator):
    """Runs `include.build.run_dbt` for all nodes of the run that are not built yet.

    It is green if dbt came to its end: what failed is told by the task of the node. A second try
    goes on where the first has ended, as `dbt retry` does.
    """

    template_fields: Sequence[str] = ()
    publishes = False
    """Whether dbt's artifacts are published where it ran."""

    def __init__(
        self,
        *,
        settings: Settings,
        manifest: Manifest,
        assets: Mapping[str, Asset],
        **kwargs: Any,
    ) -> None:
        super().__init__(
            settings=settings, command=["include.build.run_dbt"], outlets=[MARTS], **kwargs
        )
        self.manifest = manifest
        self.assets = assets

    def execute(self, context: Any) -> dict[str, int]:
        """Build and publish; returns the number of nodes by status."""
        built = self.manifest.built
        channel = Channel(context)
        reasons = skip_reasons(
            context,
            {node: self.manifest.sources(node) for node in built},
            {node: frozenset({node}) for node in built},
        )
        for node, reason in reasons.items():
            if reason:
                channel.add(self.manifest.name(node), NOT_BUILT + reason)
        wanted = self._unbuilt(channel, {node for node in built if reasons[node] is None})
        channel.flush()
        request = {
            "artifacts": str(artifacts_of(context)),
            "run_id": context["run_id"],
            "select": None
            if wanted == built
            else [self.manifest.selector(node) for node in sorted(wanted)],
            "tests": self._tests(context),
            "full_refresh": form_of(context).full_refresh,
            "catalog": wanted == built and self.publishes,
        }
        try:
            for news in self._follow(json.dumps(request), channel) if wanted else ():
                channel.tell(self._task_id(news["unique_id"]), news)
        finally:
            # Marked by hand, the task ends before dbt does: then nobody may build yet.
            channel.done = self.has_ended()
            channel.flush()
        for task_id in channel.good():
            if asset := self.assets.get(task_id):
                context["outlet_events"][MARTS].add(asset)
        counts = Counter(status.split(":")[0] for status, _ in channel.nodes.values())
        self.log.info("%s", ", ".join(f"{count} {status}" for status, count in counts.items()))
        return dict(counts)

    def has_ended(self) -> bool:
        """Whether no dbt of this task builds any more."""
        return self.process is None or self.process.poll() is not None

    def let_go(self) -> None:
        """What becomes of dbt when the task's supervisor is gone, and its worker perhaps too."""
        self.on_kill()

    def _tests(self, context: Any) -> list[str]:
        """The names of the tests that span nodes, all of which this run builds."""
        tests = self.manifest.tests_across()
        reasons = skip_reasons(
            context,
            {test: self.manifest.sources(test) for test in tests},
            {test: self.manifest.parents(test) & self.manifest.built for test in tests},
        )
        return [self.manifest.name(test) for test in tests if reasons[test] is None]

    def _task_id(self, unique_id: str) -> str:
        known = unique_id in self.manifest.nodes
        return self.manifest.name(unique_id) if known else unique_id

    def _unbuilt(self, channel: Channel, nodes: set[str]) -> set[str]:
        """The nodes that are to be built: on a first try all, later those that are not yet.

        A green task stays, a red one has its own way. What an earlier try has built, and whose
        task has yet to hear of it, is told again, unless somebody has cleared tasks meanwhile.
        Raises AirflowFailException if nodes are just building themselves.
        """
        if channel.ti.try_number == 1:
            return nodes
        states = channel.states(self.manifest.name(node) for node in nodes)
        if busy := sorted(name for name, state in states.items() if state in BUSY):
            message = f"{', '.join(busy)} run dbt for themselves: clear this task when they ended."
            raise AirflowFailException(message)
        unbuilt = set()
        for node in nodes:
            name = self.manifest.name(node)
            if states.get(name) in {"success", "failed", "upstream_failed"}:
                continue
            if not channel.keep(name):
                unbuilt.add(node)
        self.log.info("Still to build: %s of %s nodes.", len(unbuilt), len(nodes))
        return unbuilt

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
        supervisor = os.getppid()
        while True:
            try:
                line = said.get_nowait()
            except Empty:
                channel.flush()
                line = self._next(said, supervisor)
            if line is None:
                return
            if isinstance(line, BaseException):
                raise line
            if line.startswith(NEWS_LINE):
                yield json.loads(line.removeprefix(NEWS_LINE))
            else:
                self.log.info("%s", line)

    def _next(
        self, said: SimpleQueue[str | BaseException | None], supervisor: int
    ) -> str | BaseException | None:
        """What dbt says next; raises if the process that supervises this one is gone.

        Airflow gives the task to another then, and two builds must never write at once.
        """
        while True:
            try:
                return said.get(timeout=SUPERVISOR_SECONDS)
            except Empty:
                if os.getppid() != supervisor:
                    self.let_go()
                    raise AirflowException("The supervisor of this task is gone.") from None


class Channel:
    """The producer's end of the channel, see this package's docstring."""

    def __init__(self, context: Any) -> None:
        self.ti = context["ti"]
        self.done = False
        self.clears: int = context["dag_run"].clear_number
        self.nodes: dict[str, list[Any]] = {}
        self.flushed: Mapping[str, Any] = {}
        # XComs of a task go when its next try begins, its state stays.
        self.store = context["task_state_store"]
        self.before: Mapping[str, Any] = self.store.get(NODES) or {}

    def add(self, task_id: str, status: str) -> None:
        """Say how a node ended, with the next `flush`."""
        self.nodes[task_id] = [status, round(time.time(), 3)]

    def tell(self, task_id: str, news: Mapping[str, Any]) -> None:
        """Publish the news of a node, and its status with the next `flush`."""
        try:
            XCom.set(NEWS, news, dag_id=self.ti.dag_id, run_id=self.ti.run_id, task_id=task_id)
        except Exception:
            # A node that a deploy has added or removed meanwhile has no task in this run.
            logger.exception("The run has no task %s: its news are lost.", task_id)
            return
        self.add(task_id, news["status"])

    def keep(self, task_id: str) -> bool:
        """Tell what an earlier try has told of a good node; False if there is nothing to keep."""
        status, at = self.before.get("nodes", {}).get(task_id, (None, 0))
        if status not in GOOD or self.before.get("clears") != self.clears:
            return False
        self.nodes[task_id] = [status, at]
        return True

    def flush(self) -> None:
        """Publish the status of all nodes, if something has changed."""
        said = {
            "try": self.ti.try_number,
            "clears": self.clears,
            "done": self.done,
            "nodes": dict(self.nodes),
        }
        if said != self.flushed:
            self.ti.xcom_push(NODES, said)
            # What is good already and not told again must not be forgotten.
            kept = self.before["nodes"] if self.before.get("clears") == self.clears else {}
            self.store.set(NODES, {**said, "nodes": {**kept, **self.nodes}})
            self.flushed = said

    def good(self) -> list[str]:
        """The nodes whose tasks end in the triggerer, where Airflow emits no asset event.

        In a run that was cleared, and after an error, they end on a worker.
        """
        if self.clears:
            return []
        before = self.before.get("nodes", {})
        broke = {name for name, (status, _) in before.items() if status == "error"}
        built = {name for name, (status, _) in {**before, **self.nodes}.items() if status in GOOD}
        return sorted(built - broke)

    def states(self, task_ids: Iterable[str]) -> Mapping[str, str | None]:
        """The state of tasks of this run, by task id."""
        found = self.ti.get_task_states(
            dag_id=self.ti.dag_id, run_ids=[self.ti.run_id], task_ids=list(task_ids)
        )
        states: Mapping[str, str | None] = found.get(self.ti.run_id, {})
        return states
