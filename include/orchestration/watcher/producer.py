"""The producer: the task that runs dbt once for all nodes and publishes each node's result."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
)
from airflow.sdk.execution_time.xcom import XCom

from include.manifest import Manifest
from include.messages import (
    FRESHNESS_LINE,
    GOOD,
    NOT_BUILT,
    RESULT_LINE,
    RUN_ALONE,
    XCOM_NODE_RESULT,
    XCOM_PROGRESS,
    BuildRequest,
    FreshnessRequest,
    NodeProgress,
    NodeResult,
    Progress,
    StaleSources,
    from_json,
    from_plain,
    to_json,
    to_plain,
)
from include.orchestration.operators.artifacts import artifacts_of, report_of
from include.orchestration.operators.done import MARTS
from include.orchestration.operators.selection import (
    FRESHNESS,
    form_of,
    skip_dry_run,
    skip_reasons,
)
from include.orchestration.operators.steps import DbtEnvironmentOperator
from include.orchestration.watcher.older_airflow import (
    STARTS_IN_TRIGGERER,
    keep_node_result,
    task_state,
)
from include.settings import Settings

logger = logging.getLogger(__name__)

BUSY = frozenset({"running", "queued", "restarting"})
"""The states of a node task that builds its node on a worker, or will at once. Before Airflow 3.3,
also those of a node task that begins to wait."""
ENDED = frozenset({"failed", "skipped", "upstream_failed"})
"""The states in which the task `freshness` has ended without a result."""
SUPERVISOR_SECONDS = 5
"""How often the task checks its supervisor while dbt prints nothing."""
STATE_SECONDS = 0.4
"""How often the task reads the state of the task `freshness`."""
REPEAT_SECONDS = 5.0
"""How often the task publishes that `freshness` must run alone, as long as that task waits."""
CLOCK_SECONDS = 2.0
"""How much later than now an answer counts as given, because a trigger ignores an answer that is
not at least this much younger than the try of its task. The task is seen to wait for it."""

XCOM_RESULT = "return_value"
"""Airflow's key of the XCom with a task's result."""

Output = SimpleQueue[str | BaseException | None]
"""dbt's lines in their order. The last item is None if dbt finished, else what was raised."""


class DbtBuildOperator(DbtEnvironmentOperator):
    """Runs `include.build.run_dbt` for all nodes of the run that are not built yet.

    The task starts with the run, so that dbt is imported and the project is parsed while the tasks
    before the nodes run. It builds nothing until `freshness` has succeeded, and it is skipped if
    that task does not succeed. The task `freshness` waits for an answer of the same dbt process.

    The task succeeds if dbt finished, even if nodes failed: the task of each node reports its
    failure. A second try builds what the first one has not built, as `dbt retry` does.
    """

    template_fields: Sequence[str] = ()
    runs_elsewhere = False
    """Whether dbt runs in a container, which is started for one request, and which finds the folder
    of its report beside its request."""
    received: Output
    """What dbt has printed and this task has not read yet."""
    is_building = False
    """Whether dbt was sent the request to build."""

    def __init__(
        self,
        *,
        settings: Settings,
        manifest: Manifest,
        assets: Mapping[str, Asset],
        **kwargs: Any,
    ) -> None:
        super().__init__(
            settings=settings,
            command=["include.build.run_dbt"],
            outlets=[MARTS],
            trigger_rule="all_success" if self.runs_elsewhere else "always",
            **kwargs,
        )
        self.manifest = manifest
        self.assets = assets

    def execute(self, context: Any) -> dict[str, int]:
        """Build and publish; returns the number of nodes by status."""
        skip_dry_run(context)
        self.received = SimpleQueue()
        channel = Channel(context)
        try:
            if not self.runs_elsewhere:
                self._start_dbt()
                self._wait_for_freshness(context, channel)
            wanted = self._wanted(context, channel)
            channel.flush()
            request = to_json(self._request(context, wanted))
            for result in self._node_results(request, channel) if wanted else ():
                channel.publish(self._task_id(result.unique_id), result)
        finally:
            self._stop_unused()
            # If a person marks this task, it ends before its dbt does. Then no other may build yet.
            channel.done = self.has_ended()
            channel.flush()
        for task_id in channel.ended_in_triggerer():
            if asset := self.assets.get(task_id):
                context["outlet_events"][MARTS].add(asset)
        counts = Counter(
            node.status.split(":")[0] for name, node in channel.nodes.items() if name != FRESHNESS
        )
        self.log.info("%s", ", ".join(f"{count} {status}" for status, count in counts.items()))
        return dict(counts)

    def has_ended(self) -> bool:
        """Return whether no dbt of this task builds any more."""
        return self.process is None or self.process.poll() is not None

    def on_lost_supervisor(self) -> None:
        """Stop dbt, because the task's supervisor is gone and its worker may be gone too."""
        self.on_kill()

    def _start_dbt(self) -> None:
        """Start the dbt process and read its lines into `received`.

        An error is put there too: the tasks before the nodes find what is missing, and this task
        raises it when they have succeeded.
        """
        try:
            self.process = process = self.start_process((), takes_requests=True)
        except AirflowException as error:
            self.received.put(error)
            return
        self._read(self.read_lines(process))

    def _read(self, lines: Iterable[str]) -> None:
        """Read lines into `received`, on a thread.

        Publishing is slower than dbt's output, and a full pipe would stop dbt.
        """

        def read() -> None:
            try:
                for line in lines:
                    self.received.put(line)
                self.received.put(None)
            except BaseException as error:  # noqa: BLE001 - the task raises it on its own thread
                self.received.put(error)

        Thread(target=read, daemon=True).start()

    def _wait_for_freshness(self, context: Any, channel: Channel) -> None:
        """Return when the stale sources are known; raises AirflowSkipException if they never are.

        Answers the task `freshness` when it waits for that. If dbt has no answer, that task runs
        dbt itself, and finds the error again.
        """
        may_answer, published = True, 0.0
        supervisor = os.getppid()
        while (state := channel.states([FRESHNESS]).get(FRESHNESS)) != "success":
            if state in ENDED:
                raise AirflowSkipException(f"Skipped: {FRESHNESS} is {state}.")
            if state == "deferred" and may_answer:
                may_answer = False
                if answer := self._stale_sources(context["run_id"]):
                    channel.answer_freshness(answer)
                    return
            if state == "deferred" and time.monotonic() > published + REPEAT_SECONDS:
                # Again for each try of the task, which ignores an older status.
                published = time.monotonic()
                channel.add(FRESHNESS, RUN_ALONE, CLOCK_SECONDS)
                channel.flush()
            self._check_supervisor(supervisor)
            time.sleep(STATE_SECONDS)

    def _stale_sources(self, run_id: str) -> StaleSources | None:
        """Return dbt's answer; None if dbt has ended or cannot find out which sources are stale."""
        self.send(FRESHNESS_LINE + to_json(FreshnessRequest(run_id)))
        supervisor = os.getppid()
        while isinstance(line := self._next_line(supervisor), str):
            if line.startswith(FRESHNESS_LINE):
                answer = from_json(line.removeprefix(FRESHNESS_LINE), StaleSources)
                if not answer.error:
                    return answer
                self.log.warning("dbt did not find the stale sources: %s", answer.error)
                return None
            self.log.info("%s", line)
        # The end of dbt is raised when the task `freshness` has succeeded without it.
        self.received.put(line)
        return None

    def _stop_unused(self) -> None:
        """End a dbt process that builds nothing, and wait for its end."""
        if self.process is None or self.is_building or self.process.stdin is None:
            return
        with suppress(OSError):
            self.process.stdin.close()
        self.process.wait()

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
            # The task `publish` would start a dbt process of its own for it.
            catalog=not self.runs_elsewhere,
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
        states = self._states_at_rest(channel, nodes)
        unbuilt = set()
        for node in nodes:
            name = self.manifest.task_id(node)
            if states.get(name) in {"success", "failed", "upstream_failed"}:
                continue
            if not channel.keep(name):
                unbuilt.add(node)
        self.log.info("Still to build: %s of %s nodes.", len(unbuilt), len(nodes))
        return frozenset(unbuilt)

    def _states_at_rest(self, channel: Channel, nodes: Iterable[str]) -> Mapping[str, str | None]:
        """Return the states of the nodes' tasks, by task id, when none of them is on a worker.

        Raises AirflowFailException if one is. Before Airflow 3.3 this waits instead, because a node
        task is also on a worker before it begins to wait.
        """
        task_ids = [self.manifest.task_id(node) for node in nodes]
        supervisor, logged = os.getppid(), False
        while True:
            states = channel.states(task_ids)
            busy = sorted(name for name, state in states.items() if state in BUSY)
            if not busy:
                return states
            if STARTS_IN_TRIGGERER:
                raise AirflowFailException(
                    f"{', '.join(busy)} run dbt in their own tasks: clear this task when they have "
                    "ended."
                )
            if not logged:
                self.log.info("Waiting until %s are not on a worker.", ", ".join(busy))
                logged = True
            self._check_supervisor(supervisor)
            time.sleep(STATE_SECONDS)

    def _node_results(self, request: str, channel: Channel) -> Iterator[NodeResult]:
        """Yield dbt's node results; flushes the channel whenever no line of dbt waits."""
        self.is_building = True
        if self.runs_elsewhere:
            self._read(self.lines(request=request))
        else:
            self.send(request)
        supervisor = os.getppid()
        while True:
            try:
                line = self.received.get_nowait()
            except Empty:
                channel.flush()
                line = self._next_line(supervisor)
            if line is None:
                return
            if isinstance(line, BaseException):
                raise line
            if line.startswith(RESULT_LINE):
                yield from_json(line.removeprefix(RESULT_LINE), NodeResult)
            else:
                self.log.info("%s", line)

    def _next_line(self, supervisor: int) -> str | BaseException | None:
        """Wait for the next item; raises AirflowException if the task's supervisor is gone."""
        while True:
            try:
                return self.received.get(timeout=SUPERVISOR_SECONDS)
            except Empty:
                self._check_supervisor(supervisor)

    def _check_supervisor(self, supervisor: int) -> None:
        """Raise AirflowException if the task's supervisor is gone.

        Airflow then starts the task again elsewhere, and two builds must never run at once.
        """
        if os.getppid() != supervisor:
            self.on_lost_supervisor()
            raise AirflowException("The supervisor of this task is gone.")


class Channel:
    """Publishes the producer's messages; the docstring of this package describes them."""

    def __init__(self, context: Any) -> None:
        self.ti = context["ti"]
        self.done = False
        self.clears: int = context["dag_run"].clear_number
        self.nodes: dict[str, NodeProgress] = {}
        self.flushed: Progress | None = None
        # Airflow deletes the XComs of a task when its next try begins, but keeps its task state.
        self.store = task_state(context)
        stored = self.store.get(XCOM_PROGRESS)
        self.before = from_plain(stored, Progress) if stored else None

    def add(self, task_id: str, status: str, later: float = 0.0) -> None:
        """Note the status of a node, for the next `flush`, as of now or `later` seconds."""
        self.nodes[task_id] = NodeProgress(status, round(time.time() + later, 3))

    def answer_freshness(self, answer: StaleSources) -> None:
        """Publish the result of the task `freshness`, which then ends in the triggerer."""
        own = {"dag_id": self.ti.dag_id, "run_id": self.ti.run_id, "task_id": FRESHNESS}
        XCom.set(XCOM_RESULT, to_plain(answer), **own)
        self.add(FRESHNESS, "success", CLOCK_SECONDS)
        self.flush()

    def publish(self, task_id: str, result: NodeResult) -> None:
        """Publish the result of a node, and note its status for the next `flush`."""
        own = {"dag_id": self.ti.dag_id, "run_id": self.ti.run_id, "task_id": task_id}
        keep_node_result(self.ti, task_id, to_plain(result))
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
