"""Collects dbt's events and publishes one `NodeResult` for each node and its tests."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dbt.adapters.factory import get_adapter_by_type
from dbt.cli.main import dbtRunnerResult
from dbt_common.events.base_types import EventMsg

from include.build import failing_rows
from include.engine_text import without_values
from include.manifest import Manifest
from include.messages import FAILED, NodeResult, Problem, Row, Status
from include.remedies import remedy
from include.settings import UserError

LINES = 200
"""The number of lines in a node's result: the last lines of dbt's log about the node."""
SQL_LENGTH = 100_000
"""The number of characters of a failed node's SQL in its result."""
SEVERITY: tuple[Status, ...] = ("success", "warn", "skipped", "fail", "error")
"""The statuses in rising severity. A result has the worst status of its node and tests."""
STATUSES: Mapping[str, Status] = {
    **{status: status for status in SEVERITY},
    "pass": "success",
    "no-op": "success",
    "runtime error": "error",
    "partial success": "error",
}
"""dbt's statuses of nodes and tests, as the messages name them."""


class BuildError(UserError):
    """dbt could not finish its command."""


@dataclass(frozen=True)
class Outcome:
    """How dbt ended a node or a test."""

    unique_id: str
    path: str
    status: Status
    message: str | None
    seconds: float
    rows: int | None


@dataclass(frozen=True)
class DbtEvent:
    """An event of dbt about a node: a log line, its outcome, or that dbt skips it."""

    unique_id: str
    is_skip: bool
    line: str = ""
    outcome: Outcome | None = None


@dataclass
class Entry:
    """The events of a node and its tests so far; `waiting` holds the ids that have not ended."""

    waiting: set[str]
    lines: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    is_skipped: bool = False
    is_published: bool = False


class NodeResultCollector:
    """Sorts dbt's events by node and publishes a node's result when it and its tests have ended."""

    def __init__(
        self,
        manifest: Manifest,
        artifacts: Path,
        adapter: str,
        publish: Callable[[NodeResult], None],
    ) -> None:
        """`publish` is called once for each node, on the collector's thread."""
        self.manifest = manifest
        self.artifacts = artifacts
        self.adapter = adapter
        self.publish = publish
        self.events: queue.SimpleQueue[DbtEvent | threading.Event] = queue.SimpleQueue()
        self.owner: dict[str, str] = {node: node for node in manifest.built}
        for node in manifest.built:
            self.owner.update(dict.fromkeys(manifest.tests_of(node), node))
        self.entries: dict[str, Entry] = {}
        self.has_failures = False
        self.thread = threading.Thread(target=self._process_events, daemon=True)
        self.thread.start()

    def group(self, tests: Iterable[str], owner: str) -> None:
        """Publish one common result for these tests, with `owner` as its `unique_id`."""
        self.owner.update(dict.fromkeys(tests, owner))
        self.entries[owner] = Entry(set(tests))

    def on_event(self, message: EventMsg) -> None:
        """Queue an event about a node; dbt calls this on the thread that emits the event.

        Everything else happens on the collector's thread, so that dbt does not wait for it.
        """
        node = getattr(message.data, "node_info", None)
        if node is None or not node.unique_id:
            return
        name = message.info.name
        # When the cause is an ephemeral parent, dbt reports a skipped node as an error.
        is_skip = name in {"SkippingDetails", "LogSkipBecauseError"}
        if name == "NodeFinished":
            result = message.data.run_result
            outcome = Outcome(
                unique_id=node.unique_id,
                path=node.node_path,
                status=STATUSES.get(result.status, "error"),
                message=result.message,
                seconds=result.execution_time,
                rows=_rows_written(result.adapter_response),
            )
            self.events.put(DbtEvent(node.unique_id, is_skip, outcome=outcome))
        elif message.info.level in {"info", "warn", "error"}:
            # A protobuf message, whose type stubs lack the timestamp and some of the fields.
            stamp = message.info.ts.ToDatetime().strftime("%H:%M:%S")  # type: ignore[attr-defined]
            line = f"{stamp}  {message.info.msg}"  # type: ignore[attr-defined]
            self.events.put(DbtEvent(node.unique_id, is_skip, line=line))
        elif is_skip:
            self.events.put(DbtEvent(node.unique_id, is_skip))

    def drain(self) -> None:
        """Wait until the results of all events so far are published."""
        is_drained = threading.Event()
        self.events.put(is_drained)
        # The thread ends with an error if the standard output is closed.
        while self.thread.is_alive() and not is_drained.wait(0.1):
            pass

    def finish(self, ended: dbtRunnerResult) -> None:
        """Publish the last results of a command that has ended.

        Raises KeyboardInterrupt if dbt was interrupted, and BuildError if dbt failed without a
        failed node: in a hook, for example, or because a result could not be published.
        """
        self.drain()
        if isinstance(ended.exception, KeyboardInterrupt):
            raise ended.exception
        if ended.exception is not None:
            # In one line, because the task's error is the last line of the error output.
            cause = " ".join(str(ended.exception).split())
            known = remedy(cause) or "see its log above"
            # The log has the whole text; the error is sent on by an alert.
            print(f"dbt ended with an error: {cause}", flush=True)
            raise BuildError(f"dbt could not finish ({without_values(cause)}): {known}.")
        if not self.thread.is_alive() or not (ended.success or self.has_failures):
            raise BuildError("dbt failed outside of the nodes: see its log above.")

    def _process_events(self) -> None:
        """Process events for ever; the collector's thread."""
        while True:
            event = self.events.get()
            if isinstance(event, threading.Event):
                event.set()
            elif owner := self.owner.get(event.unique_id):
                self._add(event, owner)

    def _add(self, event: DbtEvent, owner: str) -> None:
        entry = self.entries.setdefault(owner, Entry({owner, *self.manifest.tests_of(owner)}))
        is_node = owner == event.unique_id
        entry.is_skipped |= event.is_skip and is_node
        if event.line:
            entry.lines.append(event.line)
        if event.outcome is None:
            return
        entry.outcomes.append(event.outcome)
        entry.waiting.discard(event.unique_id)
        # dbt skips the tests of a node that it has not built.
        if is_node and event.outcome.status != "success":
            entry.waiting.clear()
        if not entry.waiting and not entry.is_published:
            entry.is_published = True
            self._publish(owner, entry)

    def _publish(self, owner: str, entry: Entry) -> None:
        status = max((outcome.status for outcome in entry.outcomes), key=SEVERITY.index)
        if entry.is_skipped and status == "error":
            status = "skipped"
        self.has_failures |= status in {*FAILED, "skipped"}
        result = NodeResult(
            unique_id=owner,
            status=status,
            seconds=round(sum(outcome.seconds for outcome in entry.outcomes), 3),
            rows=next((e.rows for e in entry.outcomes if e.unique_id == owner), None),
            lines=tuple(entry.lines[-LINES:]),
            problems=tuple(self._problem(e) for e in entry.outcomes if e.status != "success"),
        )
        self.publish(result)

    def _problem(self, outcome: Outcome) -> Problem:
        problem = Problem(outcome.unique_id, outcome.status, outcome.message)
        # The message of a warning is enough: it costs no query and little of Airflow's database.
        if outcome.status in FAILED:
            problem = replace(problem, sql=self._sql(outcome)[:SQL_LENGTH])
        if outcome.status == "fail":
            node = self.manifest.nodes[outcome.unique_id]
            problem = replace(problem, rows=self._failing_rows(problem.sql, node))
        return problem

    def _failing_rows(self, sql: str, node: Mapping[str, Any]) -> tuple[Row, ...]:
        try:
            # dbt's factory has no annotations.
            adapter = get_adapter_by_type(self.adapter)  # type: ignore[no-untyped-call]
            return failing_rows.fetch(adapter, sql, node)
        except Exception as error:  # noqa: BLE001
            # The failure must be published, with the rows or without them.
            print(f"The rows of {node['name']} cannot be shown: {error}", flush=True)
            return ()

    def _sql(self, outcome: Outcome) -> str:
        """The compiled SQL in dbt's artifacts; empty if dbt compiled none."""
        node = self.manifest.nodes[outcome.unique_id]
        file = Path(node["original_file_path"])
        # The SQL of a generic test is below the file that declares the test.
        name = file if file.name == Path(outcome.path).name else file / outcome.path
        path = self.artifacts / "compiled" / node["package_name"] / name
        return path.read_text() if path.is_file() else ""


def _rows_written(response: Mapping[str, Any]) -> int | None:
    """The number of rows that the warehouse reports as written; DuckDB's adapter reports none."""
    rows = dict(response).get("rows_affected")
    return int(rows) if rows is not None and int(rows) >= 0 else None
