"""The times of a DAG run, read from Airflow's metadata database."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

from include.manifest import Manifest

BEFORE = frozenset({"preflight", "partitions", "freshness"})
AFTER = frozenset({"record_partitions", "kpi_summary", "publish", "done"})
"""The steps of the DAG before and after the nodes."""
PRODUCER = "dbt_build"


@dataclass(frozen=True)
class Task:
    """One task of a run, in seconds since the epoch.

    A node task of mode `watcher` is `started` when it is deferred. `reported` is the time at which
    its node result was published, `seen` the time at which the triggerer read it.
    """

    state: str
    started: float
    ended: float
    reported: float | None = None
    seen: float | None = None


@dataclass(frozen=True)
class RunTimes:
    """The tasks that ran, and the number of worker processes that ran them.

    A task that resumes after a deferral runs in a new worker process.
    """

    tasks: Mapping[str, Task]
    workers: int

    @classmethod
    def read(cls, database: Path, since: datetime) -> RunTimes:
        """Read the times of the last run that was queued at `since` or later."""
        with closing(sqlite3.connect(database)) as connection:
            run = connection.execute(
                "select run_id from dag_run where queued_at >= ? order by id desc limit 1",
                [since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")],
            )
            key = run.fetchone() or ("",)
            published = {
                (task, name): _seconds(at)
                for task, name, at in connection.execute(
                    "select task_id, key, timestamp from xcom where run_id = ?", key
                )
            }
            tasks = {
                task: Task(
                    state or "none",
                    _seconds(started),
                    _seconds(ended),
                    published.get((task, "dbt")),
                    # Airflow's link to the node's page is set when the trigger has read the result.
                    published.get((task, "_link_NodeLink")),
                )
                for task, state, started, ended in connection.execute(
                    "select task_id, state, start_date, end_date from task_instance"
                    " where run_id = ? and start_date is not null and end_date is not null",
                    key,
                )
            }
            (workers,) = connection.execute(
                "select count(*) from log where run_id = ? and event = 'running'", key
            ).fetchone()
        return cls(tasks, workers)

    @property
    def whole(self) -> float:
        """Seconds from the first task's start to the last one's end."""
        return self._ended(self.tasks) - self._started(self.tasks)

    @property
    def graph(self) -> float:
        """Seconds from the start of the first node's task to the end of the last node or test.

        The producer starts with the run. It ends after the last node, and only the KPIs wait for
        that.
        """
        return self._ended(self._nodes) - self._started(self._nodes)

    @property
    def before(self) -> float:
        """Seconds of the steps before the first node."""
        return self._started(self._nodes) - self._started(self.tasks)

    @property
    def after(self) -> float:
        """Seconds of the steps after the last node."""
        return self._ended(self.tasks) - self._ended(self._nodes)

    @property
    def _nodes(self) -> set[str]:
        return set(self.tasks) - BEFORE - AFTER - {PRODUCER}

    def _started(self, tasks: Iterable[str]) -> float:
        return min(self.tasks[task].started for task in tasks)

    def _ended(self, tasks: Iterable[str]) -> float:
        return max(self.tasks[task].ended for task in tasks)

    def where_it_goes(self, parents: Mapping[str, frozenset[str]]) -> dict[str, float]:
        """Split the seconds of a run in mode `watcher`, in which a node waits for its `parents`.

        If the node result was published before the node task was deferred, all its time is
        Airflow's: the scheduler's until the deferral, the triggerer's until it has read the result,
        and the delivery's until the task has ended.
        """
        producer = self.tasks[PRODUCER]
        nodes = {name: self.tasks[name] for name in parents if name in self.tasks}
        late = {name for name, own in nodes.items() if own.reported and own.reported <= own.started}
        last_report = max(
            (own.reported for own in nodes.values() if own.reported), default=producer.ended
        )
        waits: dict[str, list[float]] = {}
        for name, own in nodes.items():
            above = [nodes[parent].ended for parent in parents[name] if parent in nodes]
            if above:
                waits.setdefault("scheduler", []).append(own.started - max(above))
            if own.reported is None or own.seen is None:
                continue
            if name in late:
                waits.setdefault("pick-up", []).append(own.seen - own.started)
            else:
                waits.setdefault("result to seen", []).append(own.seen - own.reported)
            waits.setdefault("delivery", []).append(own.ended - own.seen)
        return {
            "steps before: preflight, partitions, freshness": self.before,
            "begin of the run to the producer's start": producer.started
            - self._started(self.tasks),
            "the producer: dbt, and publishing": producer.ended - producer.started,
            "tail: last node result to last task's end": self._ended(self._nodes) - last_report,
            "steps after: record, KPIs, done": self.after,
            "a node: parents' end to deferral (mean)": _mean(waits.get("scheduler")),
            "a node: deferral to seen, result there (mean)": _mean(waits.get("pick-up")),
            "a node: result to seen, waiting (mean)": _mean(waits.get("result to seen")),
            "a node: seen to end (mean)": _mean(waits.get("delivery")),
            "share of nodes whose result was there": len(late) / len(nodes),
        }


def parents_by_name(manifest: Manifest, tests: str) -> dict[str, frozenset[str]]:
    """The nodes that each node task waits for, by name. The last task, `tests`, waits for all."""
    found = {
        manifest.task_id(node): frozenset(map(manifest.task_id, _built_parents(manifest, node)))
        for node in manifest.built
    }
    return {**found, tests: frozenset(found)}


def _built_parents(manifest: Manifest, node: str) -> set[str]:
    """The built nodes directly above a node. Ephemeral models are replaced by their own parents."""
    found: set[str] = set()
    for parent in manifest.parents(node):
        if parent in manifest.built:
            found.add(parent)
        elif parent in manifest.nodes:
            found |= _built_parents(manifest, parent)
    return found


def layers(parents: Mapping[str, frozenset[str]]) -> int:
    """The number of nodes on the longest path."""
    depths: dict[str, int] = {}

    def depth(node: str) -> int:
        if node not in depths:
            depths[node] = 1 + max(map(depth, parents[node]), default=0)
        return depths[node]

    return max(map(depth, parents), default=0)


def blocked_seconds(log: str) -> float:
    """Return how long the triggerer's event loop was blocked, from the log of the triggerer.

    Airflow writes a line for each time that the loop was blocked for more than 0.2 s.
    """
    return sum(map(float, re.findall(r"async thread was blocked for ([0-9.]+) seconds", log)))


def _mean(seconds: Iterable[float] | None) -> float:
    return mean(seconds) if seconds else 0.0


def _seconds(text: str) -> float:
    """The epoch seconds of a time in the database, which is UTC without a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
