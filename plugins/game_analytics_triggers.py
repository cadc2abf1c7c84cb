"""What the triggerer runs: the waiting of a node's task for news of its node.

Airflow executes this file in every component; the triggerer's import path has `plugins/` only, so
it imports nothing else of the package. `include/orchestration/watcher/__init__.py` explains the
whole mechanism.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote
from uuid import UUID

from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import BaseTrigger, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent
from asgiref.sync import sync_to_async

POLL_SECONDS = 0.2
"""Asking also wakes the triggerer's supervisor, which else looks for new triggers once a second."""
PATIENCE = 300
"""How many polls in a row may fail: a minute."""
MARGIN_SECONDS = 2.0
"""How much younger news must be than the try: the two are dated on different hosts."""
STOP_SECONDS = 45.0
"""How long a dbt may live on whose task has ended without saying so."""
LINGER = 25
"""How many polls go on when nobody waits, so that the next layer of nodes is found at once."""
NODES = "nodes"
"""XCom of the producer: `{"try", "clears", "done", "nodes": {task id: [status, seconds]}}`."""
NEWS = "dbt"
"""XCom of a node: what dbt says of it, see `include.build.run_dbt.News`."""
NOT_BUILT = "not built: "
"""How the status of a node begins that is no part of the run; the reason follows."""
LINK = "_link_NodeLink"
"""XCom of a node in which Airflow's UI finds the address of the link *Model and SQL*."""
PAGES = "/game-analytics"
"""Where the API server has the pages of nodes, see `game_analytics_ui.py`."""
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def file_name(text: str) -> str:
    """A run's or a task's id as the name of a file or folder."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).strip(".") or "_"


def page(dag_id: str, run_id: str, task_id: str) -> str:
    """The address of a node's page in Airflow's UI."""
    return "/".join([PAGES, *(quote(part, safe="") for part in (dag_id, run_id, task_id))])


def created(task_instance_id: UUID) -> float:
    """When a try of a task came into being, in epoch seconds.

    Airflow gives a task instance a new id for each retry and whenever it is cleared, a UUID of
    version 7: its first 48 bits are milliseconds (RFC 9562, section 5.7).
    """
    return (task_instance_id.int >> 80) / 1000


@dataclass
class Producer:
    """What the producer of one DAG run has said so far, asked for all of the run's triggers."""

    dag_id: str
    run_id: str
    task_id: str
    users: int = 0
    polls_begun: int = 0
    polls_done: int = 0
    state: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    error: BaseException | None = None
    polled: asyncio.Condition = field(default_factory=asyncio.Condition)
    task: asyncio.Task[None] | None = None

    known: ClassVar[dict[tuple[str, str, str], Producer]] = {}

    @classmethod
    def of(cls, task_instance: Any, task_id: str) -> Producer:
        """The one of this task instance's run, asked from now on until as many `leave`."""
        key = (task_instance.dag_id, task_instance.run_id, task_id)
        producer = cls.known.setdefault(key, cls(*key))
        producer.users += 1
        if producer.task is None or producer.task.done():
            producer.task = asyncio.create_task(producer.poll(task_instance))
        return producer

    def leave(self) -> None:
        """One waits no more."""
        self.users -= 1

    async def poll(self, task_instance: Any) -> None:
        failures, idle = 0, 0
        while idle < LINGER:
            self.polls_begun += 1
            try:
                await self.ask(task_instance)
                failures, self.error = 0, None
            except Exception as error:  # noqa: BLE001
                # A database may be busy; what lasts longer is told by every trigger.
                failures += 1
                self.error = error if failures > PATIENCE else None
            if failures == 0 or self.error:
                async with self.polled:
                    self.polls_done = self.polls_begun
                    self.polled.notify_all()
            await asyncio.sleep(POLL_SECONDS)
            idle = 0 if self.users else idle + 1
        self.known.pop((self.dag_id, self.run_id, self.task_id), None)

    async def ask(self, task_instance: Any) -> None:
        # The state first: what was said before the end is there after it.
        states = await sync_to_async(task_instance.get_task_states)(
            dag_id=self.dag_id, run_ids=[self.run_id], task_ids=[self.task_id]
        )
        said = await self.xcom(NODES, self.task_id)
        # A producer that is gone from the DAG says no more.
        self.state = states.get(self.run_id, {}).get(self.task_id, "removed")
        self.said = said or {}

    async def xcom(self, key: str, task_id: str) -> Any:
        """An XCom of the run, or None."""
        return await XCom.aget_one(
            key=key, dag_id=self.dag_id, run_id=self.run_id, task_id=task_id, map_index=-1
        )

    async def wait(self, poll: int) -> None:
        """Wait until the poll of this number is done."""
        async with self.polled:
            await self.polled.wait_for(lambda: self.polls_done >= poll)
        if self.error is not None:
            raise self.error


class NodeTrigger(BaseTrigger):
    """Ends a node's task, or hands it to a worker.

    News of the node count if they are younger than this try of its task: what dbt did before a
    task was retried or cleared is over. Without such news, the producer's end counts. A good node,
    and one that is no part of the run, end here. All others get a worker, with `{"status": …}`: one
    that failed at once; one that has to build its node itself (`None`) when dbt has ended, so that
    never two write. So does a good one after a retry or clear: Airflow 3.3.1 leaves the end that a
    task had before on one that ends in the triggerer.
    """

    def __init__(self, producer: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.producer = producer
        self.was_at_work = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, by which the triggerer makes it anew."""
        return f"{type(self).__module__}.{type(self).__name__}", {"producer": self.producer}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event that ends the waiting."""
        ti: Any = self.task_instance
        producer = Producer.of(ti, self.producer)
        try:
            status = await self.status(producer, ti)
            again = ti.try_number > 1 or producer.said.get("clears", 0) > 0
        finally:
            producer.leave()
        if not again and status in {"success", "warn"}:
            yield TaskSuccessEvent()
        elif not again and (status or "").startswith(NOT_BUILT):
            yield TaskSkippedEvent()
        else:
            event: dict[str, Any] = {"status": status}
            waited = self.was_at_work or ti.try_number == 1
            if status is None and waited and producer.state == "failed":
                event["producer_failed"] = True
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def status(self, producer: Producer, ti: Any) -> str | None:
        """What the producer says of the node, None if it has to be built by its own task."""
        since = created(ti.id) + MARGIN_SECONDS
        # Anew: what is known may be from before a clear.
        poll = producer.polls_begun + 1
        ended: float | None = None
        while True:
            await producer.wait(poll)
            poll = producer.polls_done + 1
            status, at = producer.said.get("nodes", {}).get(ti.task_id, (None, 0))
            if status is not None and status != "skipped" and at > since:
                await self.tell(producer, ti, status)
                return str(status)
            if producer.state == "skipped":
                return NOT_BUILT + f"{self.producer} was skipped"
            if producer.state not in ENDED:
                ended, self.was_at_work = None, True
                continue
            ended = ended or time.monotonic()
            # One that was killed, or marked by hand, may have left a dbt that has yet to stop.
            never_ran = producer.state in {"upstream_failed", "removed"}
            if producer.said.get("done") or never_ran or time.monotonic() > ended + STOP_SECONDS:
                self.log.info("%s has ended without building this node.", self.producer)
                return None

    async def tell(self, producer: Producer, ti: Any, status: str) -> None:
        """Put dbt's lines into the task's log, and the link to the node's page where it is found.

        For whoever reads: the node's end does not depend on it.
        """
        own = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id}
        try:
            # Together: the triggerer's supervisor answers once in a round of its loop.
            found, _ = await asyncio.gather(
                producer.xcom(NEWS, ti.task_id), XCom.aset(key=LINK, value=page(**own), **own)
            )
        except Exception as error:  # noqa: BLE001
            self.log.warning("dbt's lines are not to be had: %s", error)
            found = None
        news = {} if status.startswith(NOT_BUILT) else found or {}
        for line in news.get("lines", ()):
            self.log.info("%s", line)
        took = f", {news['seconds']:.2f} s in dbt" if "seconds" in news else ""
        rows = f", {news['rows']} rows" if news.get("rows") is not None else ""
        self.log.info("%s%s%s", status, took, rows)
