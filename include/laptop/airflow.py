"""Airflow on a laptop: starts its processes, waits for them, stops them, and calls its REST API.

Airflow's settings are written to `.airflow/airflow.cfg`, so that `make airflow ARGS="dags list"`
has the same settings as the running processes.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx

from include.laptop.lock import HOME
from include.laptop.processes import SESSION, STOP_SECONDS, stop_session
from include.settings import ROOT, Settings, UserError

DAG = "game_analytics"
START_SECONDS = 120
COMPONENTS: dict[str, tuple[str, ...]] = {
    "api-server": (),
    # The UI reads the logs from the disk. A log server would listen on all addresses.
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
HOST = "127.0.0.1"


class NoAnswerError(UserError):
    """Airflow's API did not answer, or its answer was not usable; a later call may succeed."""


@dataclass
class Airflow:
    """Airflow's processes with their common home; with `port` 0, a free port is chosen.

    `nodes` is the number of the project's nodes. The settings of the loops depend on it.
    """

    settings: Settings
    nodes: int = 0
    components: tuple[str, ...] = tuple(COMPONENTS)
    port: int = 0
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def url(self) -> str:
        """The address of the UI and the REST API."""
        return f"http://{HOST}:{self.port}"

    def log(self, component: str) -> Path:
        """The file with a component's output."""
        return HOME / "logs" / f"{component}.log"

    def start(self) -> None:
        """Write the settings, migrate the database and start the processes."""
        self.started = datetime.now(UTC)
        self.prepare()
        for component in self.components:
            with self.log(component).open("wb") as output:
                self.processes[component] = subprocess.Popen(
                    [sys.executable, "-m", "airflow", component, *COMPONENTS[component]],
                    cwd=HOME,
                    env=self.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C in the terminal must reach only the command, which stops these.
                    start_new_session=True,
                )

    def prepare(self) -> None:
        """Write the settings and migrate the database."""
        self.port = self.port or free_port()
        self._configure()
        self._migrate()

    def wait(self) -> Client:
        """Wait until the API answers and the DAG has been parsed since the start.

        Raises UserError for an import error of the DAG, if a process ends, and after a timeout.
        """
        client = Client(self.url)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            self.check()
            # While the API server starts, a missing answer is no error.
            with contextlib.suppress(NoAnswerError):
                if client.answers():
                    if errors := client.import_errors(self.started):
                        raise UserError("Airflow cannot import the DAG:\n" + "\n".join(errors))
                    if client.parsed(self.started):
                        return client
            time.sleep(0.25)
        raise UserError(
            f"Airflow was not ready after {START_SECONDS} s: read the logs in {HOME / 'logs'}."
        )

    def check(self) -> None:
        """Raise UserError if one of the processes has ended."""
        for component, process in self.processes.items():
            if (code := process.poll()) is not None:
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise UserError(
                    f"Airflow's {component} ended with {how}: read {self.log(component)}."
                )

    def stop(self, term_seconds: float = STOP_SECONDS) -> None:
        """Stop all processes of this start, including those that its processes have started."""
        stop_session(self.session, term_seconds)
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()

    def environment(self) -> dict[str, str]:
        """The environment variables of each process."""
        return {
            **os.environ,
            **self.settings.as_environment(),
            "AIRFLOW_HOME": str(HOME),
            # The DAG imports `include`. On MWAA it is in the DAG folder.
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(_created(HOME / "tmp")),
            "DO_NOT_TRACK": "1",
            # `plugins/game_analytics_own_host.py` reads it, against DNS rebinding.
            "API_SERVER_HOSTS": f"{HOST},localhost",
            SESSION: self.session,
            # Airflow changes its process titles, which would overwrite the environment that
            # `stop_session` reads.
            "SPT_NOENV": "1",
        }

    def _configure(self) -> None:
        path = HOME / "airflow.cfg"
        config = configparser.ConfigParser(interpolation=None)
        config.read(path)
        # An existing key is kept: with a new one, connections saved in the UI would be unreadable.
        key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        key = config.get("core", "fernet_key", fallback=key)
        config.clear()
        nodes = max(self.nodes, 1)
        config.read_dict(
            {
                "core": {
                    "dags_folder": ROOT / "dags",
                    "plugins_folder": ROOT / "plugins",
                    "executor": "LocalExecutor",
                    "parallelism": 4,
                    "load_examples": False,
                    "dags_are_paused_at_creation": False,
                    "simple_auth_manager_all_admins": True,
                    "fernet_key": key,
                    "execution_api_server_url": f"{self.url}/execution/",
                    # Airflow's default of five minutes is too long for a person who waits.
                    "default_task_retry_delay": 5,
                },
                "database": {"sql_alchemy_conn": f"sqlite:///{HOME / 'airflow.db'}"},
                "logging": {
                    "base_log_folder": HOME / "logs",
                    # Airflow sets these modes itself, whatever the umask is.
                    "file_task_handler_new_folder_permissions": "0o700",
                    "file_task_handler_new_file_permissions": "0o600",
                },
                "api": {
                    "host": HOST,
                    "port": self.port,
                    "base_url": self.url,
                    "workers": 1,
                    "secret_key": secrets.token_urlsafe(32),
                },
                "api_auth": {"jwt_secret": secrets.token_urlsafe(64)},
                # Each loop reads all task instances of the run. Airflow's default is 1 s.
                "scheduler": {"scheduler_idle_sleep_time": min(max(0.2, 0.004 * nodes), 1)},
                # For each trigger that it starts, the triggerer deserializes the whole DAG, and it
                # answers no other trigger before all are started. It has one such loop a second, so
                # less than 5 would delay a large run. Airflow's default is 50.
                "triggerer": {
                    "max_trigger_to_select_per_loop": min(max(5, 5_000 // nodes), 50),
                },
                "usage_data_collection": {"enabled": False},
                "cosmos": {"enable_telemetry": False, "cache_dir": HOME / "cosmos"},
            }
        )
        _created(HOME / "logs")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            config.write(file)

    def _migrate(self) -> None:
        """Migrate the metadata database to this version of Airflow, once per version."""
        stamp, version = HOME / "database.version", metadata.version("apache-airflow-core")
        if stamp.exists() and (HOME / "airflow.db").exists() and stamp.read_text() == version:
            return
        with self.log("database").open("wb") as output:
            migrated = subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                check=False,
            )
        if migrated.returncode:
            raise UserError(
                f"Airflow's database could not be migrated: read {self.log('database')}."
            )
        stamp.write_text(version)


class Client:
    """The calls of Airflow's public REST API that the laptop's commands need.

    Each method raises NoAnswerError if the API does not answer, and UserError if it refuses.
    """

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def answers(self) -> bool:
        """Whether the API answers; the first time that it does, the client gets a token."""
        if "Authorization" in self.http.headers:
            return True
        try:
            # On loopback every user is an admin, so a token needs no password.
            token = self._request("GET", "/auth/token")["access_token"]
        except UserError:
            return False
        self.http.headers["Authorization"] = f"Bearer {token}"
        return True

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """GET below `/api/v2`."""
        return self._request("GET", f"/api/v2{path}", params=parameters)

    def _request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = self.http.request(method, path, **options)
            if response.is_client_error:
                raise UserError(
                    f"Airflow refuses {method} {path} ({response.status_code}): {response.text}"
                )
            response.raise_for_status()
            content: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise NoAnswerError(
                f"Airflow's API does not answer ({reason}): "
                f"read {HOME / 'logs' / 'api-server.log'}."
            ) from None
        return content

    def import_errors(self, since: datetime) -> list[str]:
        """The stack traces of the import errors that were found since this time."""
        errors = self.get("/importErrors", limit=100)["import_errors"]
        return [error["stack_trace"] for error in errors if _time(error["timestamp"]) >= since]

    def parsed(self, since: datetime) -> bool:
        """Whether the DAG was parsed since this time; the database may hold an older version."""
        return any(
            dag["dag_id"] == DAG
            and dag["last_parsed_time"] is not None
            and _time(dag["last_parsed_time"]) >= since
            for dag in self.get("/dags", dag_id_pattern=DAG, exclude_stale=False)["dags"]
        )

    def unpause(self) -> None:
        """Unpause the DAG."""
        self._request("PATCH", f"/api/v2/dags/{DAG}", json={"is_paused": False})

    def trigger(self, run_id: str, conf: Mapping[str, Any] | None = None) -> None:
        """Start a run of the DAG; `conf` are fields of its form (`include/run_form.py`)."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        self._request("POST", f"/api/v2/dags/{DAG}/dagRuns", json=body)

    def fail_unfinished_runs(self) -> list[str]:
        """Set all unfinished runs of the DAG to failed; returns their ids."""
        runs = self.get(f"/dags/{DAG}/dagRuns", state=["running", "queued"], limit=100)["dag_runs"]
        for run in runs:
            path = f"/api/v2/dags/{DAG}/dagRuns/{run['dag_run_id']}"
            self._request("PATCH", path, json={"state": "failed"})
        return [run["dag_run_id"] for run in runs]

    def last_run(self) -> str | None:
        """The id of the run that was started last, or None if there is none."""
        runs = self.get(f"/dags/{DAG}/dagRuns", order_by="-id", limit=1)["dag_runs"]
        return str(runs[0]["dag_run_id"]) if runs else None

    def clear(self, run_id: str, task_id: str) -> list[str]:
        """Clear a task of a run with its downstream; returns the ids of the cleared tasks."""
        body = {
            "dag_run_id": run_id,
            "task_ids": [task_id],
            "include_downstream": True,
            "only_failed": False,
            "dry_run": False,
        }
        cleared = self._request("POST", f"/api/v2/dags/{DAG}/clearTaskInstances", json=body)
        return sorted(task["task_id"] for task in cleared["task_instances"])

    def mark(self, run_id: str, task_id: str, state: str) -> None:
        """Mark a task of a run as `success` or `failed`, as a person does in the UI."""
        path = f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task_id}"
        self._request("PATCH", path, json={"new_state": state})

    def run_state(self, run_id: str) -> str:
        """The state of a run."""
        # A request for the run alone would load all its task instances, for their DAG versions.
        wanted = {"run_id_prefix_pattern": run_id, "order_by": "-id", "limit": 100}
        runs = self.get(f"/dags/{DAG}/dagRuns", **wanted)["dag_runs"]
        states = {run["dag_run_id"]: str(run["state"]) for run in runs}
        if run_id not in states:
            raise UserError(f"Airflow has no run {run_id} of the DAG {DAG}.")
        return states[run_id]

    def tasks(self, run_id: str, since: datetime | None = None) -> list[dict[str, Any]]:
        """The task instances of a run, or only those that have changed since this time."""
        path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances"
        changed = {"updated_at_gte": since.isoformat()} if since else {}
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(path, limit=100, offset=len(found), **changed)
            found.extend(page["task_instances"])
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def error(self, run_id: str, task_id: str, try_number: int) -> str:
        """The exception that ended a try of a task, from its log; empty if there is none."""
        path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        message = ""
        for entry in self.get(path, full_content=True)["content"]:
            for detail in entry.get("error_detail") or []:
                message = str(detail["exc_value"])
        return message


def free_port() -> int:
    """A free port of the loopback interface."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether no process listens on a port of the loopback interface."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True


def clean_temporary() -> None:
    """Remove the temporary copies of the project that killed tasks have left."""
    shutil.rmtree(HOME / "tmp", ignore_errors=True)


def _created(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
