"""The producer: the task that runs dbt once for all nodes and publishes each node's result."""

from __future__ import annotations

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

from include.manifest import Manifest
from include.messages import (
    GOOD,
    NOT_BUILT,
    RESULT_LINE,
    XCOM_NODE_RESULT,
    XCOM_PROGRESS,
    BuildRequest,
    NodeProgress,
    NodeResult,
    Progress,
    from_json,
    from_plain,
    to_json,
    to_plain,
)
from include.orchestration.operators.artifacts import artifacts_of, report_of
from include.orchestration.operators.done import MARTS
from include.orchestration.operators.selection import form_of, skip_reasons
from include.orchestration.operators.steps import DbtEnvironmentOperator
from include.settings import Settings

logger = logging.getLogger(__name__)

BUSY = frozenset({"running", "queued", "restarting"})
"""The states of a node task that builds its node on a worker, or will at once."""
SUPERVISOR_SECONDS = 5
"""How often the task checks its supervisor while dbt prints nothing."""

Output = SimpleQueue[str | BaseException | None]
"""dbt's lines in their order. The last item is None if dbt finished, else what was raised."""


class DbtBuildOperator(DbtEnvironmentOperator):
    """Runs `include.build.run_dbt` for all nodes of the run that are not built yet.

    The task succeeds if dbt finished, even if nodes failed: the task of each node reports its
    failure. A second try builds what the first one has not built, as `dbt retry` does.
    """

    template_fields: Sequence[str] = ()
    runs_elsewhere = False
    """Whether dbt runs in a container, which finds the folder of its report beside its request."""

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
        channel = Channel(context)
        wanted = self._wanted(context, channel)
        channel.flush()
        request = self._request(context, wanted)
        try:
            for result in self._follow(to_json(request), channel) if wanted else ():
                channel.publish(self._task_id(result.unique_id), result)
        finally:
            # If a person marks this task, it ends before its dbt does. Then no other may build yet.
            channel.done = self.has_ended()
            channel.flush()
        for task_id in channel.ended_in_triggerer():
            if asset := self.assets.get(task_id):
                context["outlet_events"][MARTS].add(asset)
        counts = Counter(node.status.split(":")[0] for node in channel.nodes.values())
        self.log.info("%s", ", ".join(f"{count} {status}" for status, count in counts.items()))
        return dict(counts)

    def has_ended(self) -> bool:
        """Return whether no dbt of this task builds any more."""
        return self.process is None or self.process.poll() is not None

    def on_lost_supervisor(self) -> None:
        """Stop dbt, because the task's supervisor is gone and its worker may be gone too."""
        self.on_kill()

    def _wanted(self, context: Any, channel: Channel) -> frozenset[str]:
        """Return the ids of the nodes that this try builds; add all others to the progress."""
        built = self.manifest.built
        reasons = skip_reasons(
            context,
            {node: self.manifest.sources(node) for node in built},
            {node: frozenset({node}) for node in built},
        )
        for node, reason in reasons.items():
            if reason:
                channel.add(self.manifest.task_id(node), NOT_BUILT + reason)
        return self._unbuilt(channel, {node for node in built if reasons[node] is None})

    def _request(self, context: Any, wanted: frozenset[str]) -> BuildRequest:
        is_all = wanted == self.manifest.built
        return BuildRequest(
            artifacts=str(artifacts_of(context)),
            run_id=context["run_id"],
            select=None if is_all else tuple(map(self.manifest.selector, sorted(wanted))),
            tests=self._tests(context),
            full_refresh=form_of(context).full_refresh,
            report="" if self.runs_elsewhere else report_of(self.settings, context["ti"]),
        )

    def _tests(self, context: Any) -> tuple[str, ...]:
        """Return the ids of the cross-model tests all of whose nodes this run builds."""
        tests = self.manifest.tests_across()
        reasons = skip_reasons(
            context,
            {test: self.manifest.sources(test) for test in tests},
            {test: self.manifest.parents(test) & self.manifest.built for test in tests},
        )
        return tuple(test for test in tests if reasons[test] is None)

    def _task_id(self, unique_id: str) -> str:
        known = unique_id in self.manifest.built
        return self.manifest.task_id(unique_id) if known else unique_id

    def _unbuilt(self, channel: Channel, nodes: set[str]) -> frozenset[str]:
        """Return the nodes that this try builds: all on a first try, later those not built yet.

        A node task that succeeded stays as it is, and one that failed is retried or cleared by
        itself. A node that an earlier try has built, and whose task still waits, is published
        again, unless somebody has cleared tasks since then. Raises AirflowFailException if nodes
        are being built by their own tasks.
        """
        if channel.ti.try_number == 1:
            return frozenset(nodes)
        states = channel.states(self.manifest.task_id(node) for node in nodes)
        if busy := sorted(name for name, state in states.items() if state in BUSY):
            raise AirflowFailException(
                f"{', '.join(busy)} run dbt in their own tasks: clear this task when they have "
                "ended."
            )
        unbuilt = set()
        for node in nodes:
            name = self.manifest.task_id(node)
            if states.get(name) in {"success", "failed", "upstream_failed"}:
                continue
            if not channel.keep(name):
                unbuilt.add(node)
        self.log.info("Still to build: %s of %s nodes.", len(unbuilt), len(nodes))
        return frozenset(unbuilt)

    def _follow(self, request: str, channel: Channel) -> Iterator[NodeResult]:
        """Yield dbt's node results; flushes the channel whenever no line of dbt waits."""
        output: Output = SimpleQueue()

        def read() -> None:
            try:
                for line in self.lines(request=request):
                    output.put(line)
                output.put(None)
            except BaseException as error:  # noqa: BLE001
                output.put(error)

        # A thread of its own, because publishing is slower than dbt's output, and a full pipe
        # would stop dbt.
        Thread(target=read, daemon=True).start()
        supervisor = os.getppid()
        while True:
            try:
                line = output.get_nowait()
            except Empty:
                channel.flush()
                line = self._next_line(output, supervisor)
            if line is None:
                return
            if isinstance(line, BaseException):
                raise line
            if line.startswith(RESULT_LINE):
                yield from_json(line.removeprefix(RESULT_LINE), NodeResult)
            else:
                self.log.info("%s", line)

    def _next_line(self, output: Output, supervisor: int) -> str | BaseException | None:
        """Wait for the next item; raises AirflowException if the task's supervisor is gone.

        Airflow then starts the task again elsewhere, and two builds must never run at once.
        """
        while True:
            try:
                return output.get(timeout=SUPERVISOR_SECONDS)
            except Empty:
                if os.getppid() != supervisor:
                    self.on_lost_supervisor()
                    raise AirflowException("The supervisor of this task is gone.") from None


class Channel:
    """Publishes the producer's messages; the docstring of this package describes them."""

    def __init__(self, context: Any) -> None:
        self.ti = context["ti"]
        self.done = False
        self.clears: int = context["dag_run"].clear_number
        self.nodes: dict[str, NodeProgress] = {}
        self.flushed: Progress | None = None
        # Airflow deletes the XComs of a task when its next try begins, but keeps its task state.
        self.store = context["task_state_store"]
        stored = self.store.get(XCOM_PROGRESS)
        self.before = from_plain(stored, Progress) if stored else None

    def add(self, task_id: str, status: str) -> None:
        """Note the status of a node, for the next `flush`."""
        self.nodes[task_id] = NodeProgress(status, round(time.time(), 3))

    def publish(self, task_id: str, result: NodeResult) -> None:
        """Publish the result of a node, and note its status for the next `flush`."""
        own = {"dag_id": self.ti.dag_id, "run_id": self.ti.run_id, "task_id": task_id}
        try:
            XCom.set(XCOM_NODE_RESULT, to_plain(result), **own)
        except Exception:
            # A deploy during the run may have added or removed the node.
            logger.exception("The run has no task %s: its node result is lost.", task_id)
            return
        self.add(task_id, result.status)

    def keep(self, task_id: str) -> bool:
        """Note again what an earlier try published of a good node; False if there is none."""
        node = self._nodes_before().get(task_id)
        if node is None or node.status not in GOOD or self._was_cleared():
            return False
        self.nodes[task_id] = node
        return True

    def flush(self) -> None:
        """Publish the status of all nodes, if something has changed."""
        progress = Progress(self.ti.try_number, self.clears, self.done, dict(self.nodes))
        if progress == self.flushed:
            return
        self.ti.xcom_push(XCOM_PROGRESS, to_plain(progress))
        # A third try must still find the good nodes of the first, which the second did not
        # publish again.
        kept = {} if self._was_cleared() else self._nodes_before()
        stored = Progress(self.ti.try_number, self.clears, self.done, {**kept, **self.nodes})
        self.store.set(XCOM_PROGRESS, to_plain(stored))
        self.flushed = progress

    def ended_in_triggerer(self) -> list[str]:
        """Return the node tasks that end in the triggerer, where Airflow emits no asset event.

        In a run that was cleared, and after an error, a node task ends on a worker instead.
        """
        if self.clears:
            return []
        before = self._nodes_before()
        broken = {name for name, node in before.items() if node.status == "error"}
        good = {name for name, node in {**before, **self.nodes}.items() if node.status in GOOD}
        return sorted(good - broken)

    def states(self, task_ids: Iterable[str]) -> Mapping[str, str | None]:
        """Return the states of tasks of this run, by task id."""
        found = self.ti.get_task_states(
            dag_id=self.ti.dag_id, run_ids=[self.ti.run_id], task_ids=list(task_ids)
        )
        states: Mapping[str, str | None] = found.get(self.ti.run_id, {})
        return states

    def _nodes_before(self) -> Mapping[str, NodeProgress]:
        """Return the nodes that earlier tries have published."""
        return self.before.nodes if self.before else {}

    def _was_cleared(self) -> bool:
        """Return whether somebody has cleared tasks of the run since the last try."""
        return self.before is None or self.before.clears != self.clears
