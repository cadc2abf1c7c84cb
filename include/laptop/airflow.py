"""Airflow on a laptop: its processes started, waited for, and stopped without a trace.

Its settings lie in `.airflow/airflow.cfg`, so that `make airflow ARGS="dags list"` and the
running processes agree on them.
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
from include.laptop.processes import SESSION, stop_session
from include.settings import ROOT, Settings, UserError

DAG = "game_analytics"
START_SECONDS = 120
COMPONENTS: dict[str, tuple[str, ...]] = {
    "api-server": (),
    # The UI reads the logs from the disk; a server for other hosts would listen on all addresses.
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
HOST = "127.0.0.1"


class NoAnswerError(UserError):
    """Airflow's API gave no answer of use; it may give one later."""


@dataclass
class Airflow:
    """Airflow's processes in one home; `port` 0 takes a free one."""

    settings: Settings
    components: tuple[str, ...] = tuple(COMPONENTS)
    port: int = 0
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def url(self) -> str:
        """Where the UI and the REST API are."""
        return f"http://{HOST}:{self.port}"

    def log(self, component: str) -> Path:
        """The file that a component's own output goes to."""
        return HOME / "logs" / f"{component}.log"

    def start(self) -> None:
        """Write the settings, bring the database up to date and start the processes."""
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
                    # Ctrl-C in the terminal is for us; we stop them in order.
                    start_new_session=True,
                )

    def prepare(self) -> None:
        """Write the settings and bring the database up to date."""
        self.port = self.port or free_port()
        self._configure()
        self._migrate()

    def wait(self) -> Client:
        """Wait until the API answers and the DAG has been parsed by this start.

        Raises UserError for an import error of the DAG, or if a process ends or takes too long.
        """
        client = Client(self.url)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            self.check()
            # While it starts, no answer says nothing yet.
            with contextlib.suppress(NoAnswerError):
                if client.answers():
                    if errors := client.import_errors(self.started):
                        raise UserError("Airflow cannot import the DAG:\n" + "\n".join(errors))
                    if client.parsed(self.started):
                        return client
            time.sleep(0.25)
        raise UserError(
            f"Airflow was not ready after {START_SECONDS} s: see the logs in {HOME / 'logs'}."
        )

    def check(self) -> None:
        """Raise UserError if one of the processes has ended."""
        for component, process in self.processes.items():
            if (code := process.poll()) is not None:
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise UserError(
                    f"Airflow's {component} ended with {how}: see {self.log(component)}."
                )

    def stop(self) -> None:
        """Stop everything that this start started, whatever became of it."""
        stop_session(self.session)
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()

    def environment(self) -> dict[str, str]:
        """The environment of each of the processes."""
        return {
            **os.environ,
            **self.settings.as_environment(),
            "AIRFLOW_HOME": str(HOME),
            # The DAG imports `include`, as on MWAA, where it lies beside the DAG.
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(_made(HOME / "tmp")),
            "DO_NOT_TRACK": "1",
            SESSION: self.session,
            # Airflow renames its processes, which would overwrite the mark.
            "SPT_NOENV": "1",
        }

    def _configure(self) -> None:
        path = HOME / "airflow.cfg"
        config = configparser.ConfigParser(interpolation=None)
        config.read(path)
        # Kept, or connections saved in the UI could not be read any more.
        key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        key = config.get("core", "fernet_key", fallback=key)
        config.clear()
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
                    # The first of two retries: nobody at a laptop waits five minutes.
                    "default_task_retry_delay": 5,
                },
                "database": {"sql_alchemy_conn": f"sqlite:///{HOME / 'airflow.db'}"},
                "logging": {
                    "base_log_folder": HOME / "logs",
                },
                "api": {
                    "host": HOST,
                    "port": self.port,
                    "base_url": self.url,
                    "workers": 1,
                    "secret_key": secrets.token_urlsafe(32),
                },
                "api_auth": {"jwt_secret": secrets.token_urlsafe(64)},
                "scheduler": {"scheduler_idle_sleep_time": 0.2},
                "usage_data_collection": {"enabled": False},
                "cosmos": {"enable_telemetry": False, "cache_dir": HOME / "cosmos"},
            }
        )
        _made(HOME / "logs")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            config.write(file)

    def _migrate(self) -> None:
        """Bring the metadata database to this Airflow's version; done once per version."""
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
                f"Airflow's database could not be brought up to date: see {self.log('database')}."
            )
        stamp.write_text(version)


class Client:
    """What we ask of Airflow's public REST API.

    Each raises NoAnswerError if the API does not answer, and UserError if it refuses.
    """

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def answers(self) -> bool:
        """Whether the API is up; logs in when it is."""
        if "Authorization" in self.http.headers:
            return True
        try:
            # All are admins on loopback, so the token is for the asking.
            token = self._ask("GET", "/auth/token")["access_token"]
        except UserError:
            return False
        self.http.headers["Authorization"] = f"Bearer {token}"
        return True

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """GET below `/api/v2`."""
        return self._ask("GET", f"/api/v2{path}", params=parameters)

    def _ask(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        try:
            response = self.http.request(method, path, **how)
            if response.is_client_error:
                raise UserError(
                    f"Airflow refuses {method} {path} ({response.status_code}): {response.text}"
                )
            response.raise_for_status()
            content: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise NoAnswerError(
                f"Airflow's API does not answer ({said}): see {HOME / 'logs' / 'api-server.log'}."
            ) from None
        return content

    def import_errors(self, since: datetime) -> list[str]:
        """The stack traces of import errors found since then."""
        errors = self.get("/importErrors", limit=100)["import_errors"]
        return [error["stack_trace"] for error in errors if _time(error["timestamp"]) >= since]

    def parsed(self, since: datetime) -> bool:
        """Whether the DAG was parsed since then: what lies in the database may be older."""
        return any(
            dag["dag_id"] == DAG
            and dag["last_parsed_time"] is not None
            and _time(dag["last_parsed_time"]) >= since
            for dag in self.get("/dags", dag_id_pattern=DAG, exclude_stale=False)["dags"]
        )

    def unpause(self) -> None:
        """Let the DAG's runs run."""
        self._ask("PATCH", f"/api/v2/dags/{DAG}", json={"is_paused": False})

    def trigger(self, run_id: str, conf: Mapping[str, Any] | None = None) -> None:
        """Start a run of the DAG, with these fields of its form (`include/run_form.py`)."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        self._ask("POST", f"/api/v2/dags/{DAG}/dagRuns", json=body)

    def give_up(self) -> list[str]:
        """Mark every unfinished run of the DAG failed; returns their ids."""
        runs = self.get(f"/dags/{DAG}/dagRuns", state=["running", "queued"], limit=100)["dag_runs"]
        for run in runs:
            path = f"/api/v2/dags/{DAG}/dagRuns/{run['dag_run_id']}"
            self._ask("PATCH", path, json={"state": "failed"})
        return [run["dag_run_id"] for run in runs]

    def last_run(self) -> str | None:
        """The id of the run that was started last, or None if there is none."""
        runs = self.get(f"/dags/{DAG}/dagRuns", order_by="-id", limit=1)["dag_runs"]
        return str(runs[0]["dag_run_id"]) if runs else None

    def clear(self, run_id: str, task_id: str) -> list[str]:
        """Let a task of a run, and all that follows it, run again; returns their ids."""
        body = {
            "dag_run_id": run_id,
            "task_ids": [task_id],
            "include_downstream": True,
            "only_failed": False,
            "dry_run": False,
        }
        cleared = self._ask("POST", f"/api/v2/dags/{DAG}/clearTaskInstances", json=body)
        return sorted(task["task_id"] for task in cleared["task_instances"])

    def mark(self, run_id: str, task_id: str, state: str) -> None:
        """Let a task of a run count as `success` or `failed`, whatever becomes of it."""
        path = f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task_id}"
        self._ask("PATCH", path, json={"new_state": state})

    def run_state(self, run_id: str) -> str:
        """The state of a run."""
        return str(self.get(f"/dags/{DAG}/dagRuns/{run_id}")["state"])

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances"
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(path, limit=100, offset=len(found))
            found.extend(page["task_instances"])
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def error(self, run_id: str, task_id: str, attempt: int) -> str:
        """The exception that ended a try of a task, from its log; empty if the log has none."""
        path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        message = ""
        for entry in self.get(path, full_content=True)["content"]:
            for detail in entry.get("error_detail") or []:
                message = str(detail["exc_value"])
        return message


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of the loopback interface."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True


def clean_temporary() -> None:
    """Remove what killed tasks left of their temporary copies of the project."""
    shutil.rmtree(HOME / "tmp", ignore_errors=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
