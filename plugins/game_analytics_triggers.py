"""The trigger in which a node's task waits for the result of its node.

Airflow executes this file in every component. The triggerer's import path has only `plugins/`, so
this file imports nothing else of the package: it has its own copy of the names, shapes and
`file_name` of `include/messages.py`, and `tests/unit/plugins/test_triggers.py` compares the two.
`include/orchestration/watcher/__init__.py` describes the whole mechanism.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, ClassVar
from urllib.parse import quote
from uuid import UUID

from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import BaseTrigger, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent
from asgiref.sync import sync_to_async

POLL_SECONDS = 0.4
"""The interval of the polls. Each one also wakes the triggerer's supervisor, which looks for new
triggers only once a second otherwise. A poll costs the triggerer about 0.03 s of processor time."""
STATE_SECONDS = 2.0
"""How long the state of a producer that has not ended is used before it is read again."""
MAX_FAILED_POLLS = 150
"""How many polls in a row may fail before the triggers fail: a minute of them."""
MARGIN_SECONDS = 2.0
"""How much younger than the try a status must be, because the two times are of different hosts."""
STOP_SECONDS = 45.0
"""How long dbt may go on after its task has ended without publishing that dbt has ended."""
IDLE_POLLS = 25
"""How many polls go on while no trigger waits, so that the next layer of nodes finds them going."""
XCOM_PROGRESS = "nodes"
"""The producer's XCom with its `Progress`, of which `clears`, `done` and `nodes` are read here."""
XCOM_NODE_RESULT = "dbt"
"""The XCom of a node's task with its `NodeResult`: `lines`, `seconds` and `rows` are read here."""
NOT_BUILT = "not built: "
"""The start of the status of a node that this run does not build; the reason follows."""
RUN_ALONE = "run alone"
"""The status of the task `freshness` if it must start a dbt process of its own."""
WAITS = "waits"
"""What a trigger finds if it must go on waiting. The producer publishes no such status."""
GOOD = frozenset({"success", "warn"})
"""The statuses of a node that is built and whose tests passed or only warned."""
LINK = "_link_NodeLink"
"""The XCom of a node's task in which Airflow's UI finds the address of the link *Model and SQL*."""
PAGES = "/game-analytics"
"""The path of the node pages on the API server, see `game_analytics_ui.py`."""
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""The states of a task that has ended."""


def file_name(text: str) -> str:
    """Return a run's or a task's id as the name of a file or folder."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).strip(".") or "_"


def page(dag_id: str, run_id: str, task_id: str) -> str:
    """Return the address of a node's page in Airflow's UI."""
    return "/".join([PAGES, *(quote(part, safe="") for part in (dag_id, run_id, task_id))])


def created(task_instance_id: UUID) -> float:
    """Return when a try of a task was created, in epoch seconds.

    Airflow gives a task instance a new id for each retry and whenever it is cleared. The id is a
    UUID of version 7, whose first 48 bits are the milliseconds (RFC 9562, section 5.7).
    """
    return (task_instance_id.int >> 80) / 1000


def task_states(**wanted: Any) -> dict[str, dict[str, str | None]]:
    """Return the states of tasks by run and task; `wanted` are the arguments of Airflow's method.

    This blocks until the triggerer's supervisor answers, so it runs on a thread. The task instance
    of a trigger has this method too, but not in Airflow 3.2.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    return RuntimeTaskInstance.get_task_states(**wanted)


@dataclass
class Producer:
    """The progress of one run's producer, polled once for all triggers of the run.

    `users` counts the triggers that wait. `polls_begun` and `polls_done` number the polls. `state`
    is the state of the producer's task, as of the time `state_at` of the monotonic clock, and
    `progress` is what it has published. `error` lets the triggers fail.
    """

    dag_id: str
    run_id: str
    task_id: str
    users: int = 0
    polls_begun: int = 0
    polls_done: int = 0
    state: str | None = None
    state_at: float = -inf
    progress: Mapping[str, Any] = field(default_factory=dict)
    error: BaseException | None = None
    polled: asyncio.Condition = field(default_factory=asyncio.Condition)
    task: asyncio.Task[None] | None = None

    known: ClassVar[dict[tuple[str, str, str], Producer]] = {}

    @classmethod
    def of(cls, task_instance: Any, task_id: str) -> Producer:
        """Return the producer of this task instance's run; call `leave` when it is needed no more.

        The polling starts with the first caller and goes on as long as there are users.
        """
        key = (task_instance.dag_id, task_instance.run_id, task_id)
        producer = cls.known.setdefault(key, cls(*key))
        producer.users += 1
        # A new try must not see a state from before a clear.
        producer.state_at = -inf
        if producer.task is None or producer.task.done():
            producer.task = asyncio.create_task(producer.poll())
        return producer

    def leave(self) -> None:
        """Count one user less."""
        self.users -= 1

    async def poll(self) -> None:
        failures, idle = 0, 0
        while idle < IDLE_POLLS:
            self.polls_begun += 1
            try:
                await self.read()
                failures, self.error = 0, None
            except Exception as error:  # noqa: BLE001
                # A database may be busy for a while. After that every trigger raises the error.
                failures += 1
                self.state_at = -inf
                self.error = error if failures > MAX_FAILED_POLLS else None
            if failures == 0 or self.error:
                async with self.polled:
                    self.polls_done = self.polls_begun
                    self.polled.notify_all()
            await asyncio.sleep(POLL_SECONDS)
            idle = 0 if self.users else idle + 1
        self.known.pop((self.dag_id, self.run_id, self.task_id), None)

    async def read(self) -> None:
        # The state is read first: if the producer has ended, its progress is final.
        if self.progress.get("done") or time.monotonic() > self.state_at + STATE_SECONDS:
            self.state_at = time.monotonic()
            states = await sync_to_async(task_states)(
                dag_id=self.dag_id, run_ids=[self.run_id], task_ids=[self.task_id]
            )
            # A deploy may have removed the producer from the DAG. It publishes nothing more then.
            self.state = states.get(self.run_id, {}).get(self.task_id, "removed")
        progress = await self.xcom(XCOM_PROGRESS, self.task_id)
        self.progress = progress or {}

    async def xcom(self, key: str, task_id: str) -> Any:
        """Return an XCom of the run, or None."""
        # Airflow 3.2 has no asynchronous access to XComs.
        get_one = getattr(XCom, "aget_one", None) or sync_to_async(XCom.get_one)
        return await get_one(
            key=key, dag_id=self.dag_id, run_id=self.run_id, task_id=task_id, map_index=-1
        )

    async def wait(self, poll: int) -> None:
        """Wait until the poll with this number is done; raises an error that lasts."""
        async with self.polled:
            await self.polled.wait_for(lambda: self.polls_done >= poll)
        if self.error is not None:
            raise self.error


class NodeTrigger(BaseTrigger):
    """Ends the task of a node, or hands it to a worker with a `NodeEvent`.

    The status of a node counts if it is younger than this try of its task, because a retry or a
    clear needs a new build. Without such a status the trigger waits for the end of the producer.

    The task ends here if its node is good or is not part of the run. It gets a worker at once if
    its node failed. It gets a worker when dbt has ended, so that never two processes build at the
    same time, if it must build its node itself; the status is then None. It also gets a worker if
    its node is good but the task was retried or cleared before, because Airflow 3.3.1 does not
    update the end time of such a task when it ends in the triggerer.

    Airflow starts the trigger itself. Before Airflow 3.3, the task starts it from a worker; then no
    worker gets the task back before the trigger has run for `worker_seconds`. Airflow 3.2.1 takes
    the late news that the first worker has ended for the end of the second one, and fails the task.
    """

    def __init__(self, producer: str, worker_seconds: float = 0.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.producer = producer
        self.worker_seconds = worker_seconds
        self.began = time.monotonic()
        self.ended: float | None = None
        self.saw_producer_active = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, from which the triggerer makes the trigger again."""
        arguments = {"producer": self.producer, "worker_seconds": self.worker_seconds}
        return f"{type(self).__module__}.{type(self).__name__}", arguments

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:  # noqa: ARG002
        """Free the DAG, which only the rendering of templates needs; this trigger has none.

        Airflow deserializes the whole DAG for each trigger, and calls this before `run`. A DAG of
        1,000 tasks takes 5 MB, and it would stay in memory as long as the task waits.
        """
        ti: Any = self.task_instance
        ti.task = None
        context.clear()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event that ends the waiting."""
        ti: Any = self.task_instance
        producer = Producer.of(ti, self.producer)
        try:
            status = await self.status(producer, ti)
            ends_here = self.ends_here(status, producer)
        finally:
            producer.leave()
        if ends_here:
            yield TaskSuccessEvent() if status in GOOD else TaskSkippedEvent()
        else:
            yield TriggerEvent(self.event(status, producer, ti))  # type: ignore[no-untyped-call]

    def event(self, status: str | None, producer: Producer, ti: Any) -> dict[str, Any]:
        """Return the `NodeEvent` with which the task continues on a worker."""
        has_waited = self.saw_producer_active or ti.try_number == 1
        failed = status is None and has_waited and producer.state == "failed"
        return {"status": status, "producer_failed": failed}

    def ends_here(self, status: str | None, producer: Producer) -> bool:
        """Return whether the task ends in the triggerer if its node has this status."""
        ti: Any = self.task_instance
        was_run_before = ti.try_number > 1 or producer.progress.get("clears", 0) > 0
        is_good = status in GOOD or (status or "").startswith(NOT_BUILT)
        return is_good and not was_run_before

    async def status(self, producer: Producer, ti: Any) -> str | None:
        """Return the status of the node, None if its own task has to build it.

        A status for which the task needs a worker is not returned before a worker may get it.
        """
        # Not the last poll, because it may be older than a clear.
        poll = producer.polls_begun + 1
        while True:
            await producer.wait(poll)
            poll = producer.polls_done + 1
            status = self.status_now(producer, ti)
            is_early = time.monotonic() < self.began + self.worker_seconds
            if status == WAITS or (is_early and not self.ends_here(status, producer)):
                continue
            if status is None:
                found = "has ended without building this node" if self.ended else "has no answer"
                self.log.info("%s %s, so this task runs dbt itself.", self.producer, found)
            elif not self.was_skipped(producer):
                await self.log_result(producer, ti, status)
            return status

    def status_now(self, producer: Producer, ti: Any) -> str | None:
        """Return the status of the node after the last poll, WAITS if it is not known yet."""
        since = created(ti.id) + MARGIN_SECONDS
        status, at = producer.progress.get("nodes", {}).get(ti.task_id, (None, 0))
        if status == RUN_ALONE and at > since:
            return None
        if status is not None and status != "skipped" and at > since:
            return str(status)
        if self.was_skipped(producer):
            return NOT_BUILT + f"{self.producer} was skipped"
        if producer.state not in ENDED:
            self.ended, self.saw_producer_active = None, True
            return WAITS
        self.ended = self.ended or time.monotonic()
        # If a producer was killed, or a person marked it, its dbt may still be stopping.
        never_ran = producer.state in {"upstream_failed", "removed"}
        is_over = producer.progress.get("done") or never_ran
        return None if is_over or time.monotonic() > self.ended + STOP_SECONDS else WAITS

    def was_skipped(self, producer: Producer) -> bool:
        """Return whether the producer never started; else it would have published its end."""
        return producer.state == "skipped" and not producer.progress.get("done")

    async def log_result(self, producer: Producer, ti: Any, status: str) -> None:
        """Write dbt's lines into the task's log, and the address of the node's page as its link.

        Both are only for readers: an error here does not change how the task ends.
        """
        own = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id}
        set_xcom = getattr(XCom, "aset", None) or sync_to_async(XCom.set)
        try:
            # Together, because the triggerer's supervisor answers once in each round of its loop.
            found, _ = await asyncio.gather(
                producer.xcom(XCOM_NODE_RESULT, ti.task_id),
                set_xcom(key=LINK, value=page(**own), **own),
            )
        except Exception as error:  # noqa: BLE001
            self.log.warning("dbt's lines cannot be read: %s", error)
            found = None
        result = {} if status.startswith(NOT_BUILT) else found or {}
        for line in result.get("lines", ()):
            self.log.info("%s", line)
        took = f", {result['seconds']:.2f} s in dbt" if "seconds" in result else ""
        rows = f", {result['rows']} rows" if result.get("rows") is not None else ""
        self.log.info("%s%s%s", status, took, rows)
