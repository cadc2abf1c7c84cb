"""The processes of a real Airflow in a checkout, each of which a test can kill and restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

from include.laptop.airflow import COMPONENTS, Client
from include.settings import ROOT
from tests.support.checkout import Checkout

PREPARE = """
import json, os
from include.laptop.airflow import Airflow
from include.settings import Settings
airflow = Airflow(Settings.from_env(os.environ))
airflow.prepare()
print(json.dumps({"url": airflow.url, "environment": airflow.environment()}))
"""
QUICK = {
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    # With the default of 5 s, one slow loop of a busy machine is a lost scheduler.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "8",
    "GAME_ANALYTICS_SCHEDULE": "none",
}
"""Intervals that are short enough for a test. The DAG files are parsed as rarely as Airflow does by
default, because each parse takes about a second of a core; `reparse` asks for one.
"""
TIMEOUT_SECONDS = 300
"""How long a test waits for something to happen."""
PAUSE_SECONDS = 0.3
"""How long it waits between two looks, because each request takes processor time from Airflow."""


@dataclass
class Cluster:
    """The processes of one Airflow; runs of the DAG `game_analytics` go through its API."""

    checkout: Checkout
    url: str
    environment: dict[str, str]
    client: Client
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    runs: int = 0

    @classmethod
    @contextmanager
    def up(cls, checkout: Checkout, **settings: str) -> Iterator[Cluster]:
        """Start all processes, and stop them at the end."""
        prepared = subprocess.run(
            [sys.executable, "-c", PREPARE],
            cwd=checkout.root,
            env=checkout.environment | QUICK | settings,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found = json.loads(prepared.stdout.splitlines()[-1])
        cluster = cls(checkout, found["url"], found["environment"], Client(found["url"]))
        try:
            for component in COMPONENTS:
                cluster.start(component)
            cluster.until("the DAG is parsed", cluster.is_ready)
            yield cluster
        finally:
            for component in list(cluster.processes):
                cluster.kill(component)
            for process in cluster.programs(""):
                process.kill()

    def start(self, component: str) -> None:
        """Start one of the processes."""
        log = self.checkout.root / ".airflow" / "logs" / f"{component}.log"
        with log.open("ab") as output:
            self.processes[component] = subprocess.Popen(
                [sys.executable, "-m", "airflow", component, *COMPONENTS[component]],
                cwd=self.checkout.root / ".airflow",
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, component: str) -> None:
        """`kill -9` one of the processes and its process group."""
        process = self.processes.pop(component)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def is_ready(self) -> bool:
        """Whether the API answers and the DAG is parsed. The DAG is unpaused then."""
        if not self.client.answers():
            return False
        dags = self.client.get("/dags", dag_id_pattern="game_analytics")["dags"]
        if dags:
            self.client.unpause()
        return bool(dags)

    def until(self, what: str, happens: Callable[[], Any]) -> Any:
        """Wait until `happens` returns something true, and return that.

        Raises AssertionError with `what` if it does not within `TIMEOUT_SECONDS`.
        """
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            try:
                if result := happens():
                    return result
            except Exception:  # noqa: BLE001, S110
                # An error means that a process does not answer yet.
                pass
            time.sleep(PAUSE_SECONDS)
        raise AssertionError(f"did not happen: {what}, within {TIMEOUT_SECONDS} s")

    def reparse(self) -> None:
        """Ask Airflow to parse the DAG's file at once."""
        token = self.client.get("/dags/game_analytics")["file_token"]
        answer = self.client.http.request("PUT", f"/api/v2/parseDagFile/{token}")
        answer.raise_for_status()

    def trigger(self, **form: Any) -> str:
        """Start a run."""
        self.runs += 1
        run_id = f"fault_{self.runs}"
        self.client.trigger(run_id, form)
        return run_id

    def states(self, run_id: str) -> dict[str, str | None]:
        """The state of each task of a run."""
        return {task["task_id"]: task["state"] for task in self.client.tasks(run_id)}

    def tries(self, run_id: str) -> dict[str, int]:
        """The number of tries of each task of a run."""
        return {task["task_id"]: task["try_number"] for task in self.client.tasks(run_id)}

    def wait_for(self, run_id: str, task_id: str, *states: str) -> None:
        """Wait until a task of a run is in one of these states."""
        self.until(
            f"{task_id} is {' or '.join(states)}",
            lambda: self.states(run_id).get(task_id) in states,
        )

    def end(self, run_id: str) -> tuple[str, Mapping[str, str | None]]:
        """Wait for the end of a run; returns its state and the states of its tasks."""
        self.until(f"{run_id} ends", lambda: self.client.run_state(run_id) in {"success", "failed"})
        return self.client.run_state(run_id), self.states(run_id)

    def asset_events(self, run_id: str) -> list[str]:
        """The names of the assets in a run's asset events, once per event."""
        found = self.client.get("/assets/events", source_run_id=run_id, limit=100)
        return sorted(event["name"] for event in found["asset_events"])

    def log(self, run_id: str, task_id: str, attempt: int = 1) -> str:
        """The whole log of one try of a task."""
        path = f"/dags/game_analytics/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        return json.dumps(self.client.get(path, full_content=True)["content"])

    def programs(self, name: str) -> list[psutil.Process]:
        """The processes in this checkout whose command contains the name."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PYTHONPATH") != str(self.checkout.root):
                    continue
                if name in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def gate(self, node: str) -> Gate:
        """Hold a node while it runs, by the macro `passes` of the small project."""
        return Gate(self, node)

    def marts(self) -> dict[str, Any]:
        """The rows of every mart and snapshot, without the columns of the snapshot's times."""
        python = ROOT / ".venv" / "dbt" / "bin" / "python"
        read = subprocess.run(
            [str(python), "-c", READ, str(self.checkout.root / "data" / "warehouse.duckdb")],
            capture_output=True,
            text=True,
            check=True,
        )
        tables: dict[str, Any] = json.loads(read.stdout)
        return tables


READ = """
import duckdb, json, sys
warehouse = duckdb.connect(sys.argv[1], read_only=True)
tables = warehouse.execute(
    "select table_schema, table_name from information_schema.tables"
    " where table_schema in ('marts', 'marts_snapshots') order by all"
).fetchall()
print(json.dumps({
    table: sorted(map(str, warehouse.execute(
        f"select columns(lambda c: not contains(c, 'dbt_')) from {schema}.{table}"
    ).fetchall()))
    for schema, table in tables
}))
"""


@dataclass
class Gate:
    """A context manager that makes a node wait until the gate is opened or the block ends."""

    cluster: Cluster
    node: str

    def __enter__(self) -> Gate:
        path = self.cluster.checkout.lake / "gates" / self.node
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return self

    def open(self) -> None:
        """Let the node go on."""
        (self.cluster.checkout.lake / "gates" / self.node).unlink(missing_ok=True)

    def __exit__(self, *_: object) -> None:
        self.open()
