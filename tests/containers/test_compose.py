"""docker-compose.yaml is valid for Docker's own Compose, starts Airflow, and runs the DAG."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include.settings import ROOT
from tests.containers import checkout
from tests.support.engine import Engine, free_port

# The program itself, because the command of its Python package always ends with exit code 0.
COMPOSE = next((ROOT / ".venv" / "aws").glob("lib/*/site-packages/compose/docker-compose"), None)
DAG = "game_analytics"
SECONDS = 240
USER = 1234
"""The owner of the checkout, a user that does not exist in the image."""


def test_compose_accepts_the_file() -> None:
    if COMPOSE is None:
        pytest.skip("Compose is installed only on Linux")
    command = [str(COMPOSE), "config", "--format=json"]
    config = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert config.returncode == 0, config.stderr
    services = json.loads(config.stdout)["services"]
    published = [
        port["host_ip"] for service in services.values() for port in service.get("ports", [])
    ]
    assert published == ["127.0.0.1"]
    assert all(service.get("read_only") for name, service in services.items() if name != "postgres")


@dataclass
class Composed:
    """Airflow, started by Compose."""

    url: str
    folder: Path
    compose: Callable[..., str]
    token: str = ""

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer of the REST API to a request."""
        prepared = urllib.request.Request(  # noqa: S310 - on loopback
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
        )
        with urllib.request.urlopen(prepared, timeout=30) as answer:  # noqa: S310
            content: dict[str, Any] = json.loads(answer.read())
        return content

    def until(self, what: str, found: Callable[[], Any]) -> Any:
        """Wait until `found` returns a true value, and return it.

        Refused connections are ignored. Raises AssertionError with `what` after SECONDS.
        """
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if answer := found():
                    return answer
            time.sleep(1)
        raise AssertionError(f"no {what} within {SECONDS} s\n{self.compose('logs', '--tail=60')}")


@pytest.fixture(scope="module")
def composed(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    if COMPOSE is None:
        pytest.skip("Compose is installed only on Linux")
    folder = checkout.copy(tmp_path_factory.mktemp("compose") / "checkout")
    database = re.search(r"image: (\S*postgres:\S+)", (folder / "docker-compose.yaml").read_text())
    assert database
    engine.postgres_image(database[1])
    _land(engine, folder)
    # Without this setting the schedule would start a run before the test does.
    (folder / ".env").write_text("GAME_ANALYTICS_SCHEDULE=none\n")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, USER, USER)
    for parent in folder.parents:
        # pytest's folders are open only to their owner, but here another user must pass them. With
        # Docker the daemon mounts, so this is not needed.
        if parent.stat().st_uid == os.geteuid() and parent.stat().st_mode & 0o077 == 0:
            parent.chmod(0o711)
    # Compose looks for the image under its complete name.
    engine.podman("tag", engine.image("airflow"), "docker.io/library/game-analytics-airflow:local")

    port, project = free_port(), f"ga{os.getpid()}"
    environ = engine.environment | {
        "DOCKER_HOST": f"unix://{engine.socket}",
        "AIRFLOW_UID": str(USER),
        "AIRFLOW_PORT": str(port),
    }

    def compose(*arguments: str) -> str:
        ran = subprocess.run(
            [COMPOSE, "--project-name", project, "--ansi=never", "--progress=plain", *arguments],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}\n"
        return ran.stdout

    started = time.monotonic()
    try:
        with engine.health_checks(f"com.docker.compose.project={project}"):
            compose("up", "--detach")
            airflow = Composed(f"http://127.0.0.1:{port}", folder, compose)
            airflow.until(
                "dag processor", lambda: _healthy(airflow.request("GET", "/api/v2/monitor/health"))
            )
        airflow.token = airflow.request("GET", "/auth/token")["access_token"]
        engine.say(f"docker compose up: ready in {time.monotonic() - started:.0f} s")
        yield airflow
    finally:
        compose("down", "--volumes", "--timeout=5")


def _land(engine: Engine, folder: Path) -> None:
    """Land the sample in the lake of the checkout, as `make generate` does."""
    (folder / "data").mkdir(exist_ok=True)
    sample = ["-m", "include.lake", "generate", "--days=3", "--players=20", "--seed=1"]
    options = ["--entrypoint=/opt/dbt/bin/python", f"--volume={folder / 'data'}:/app/data"]
    engine.run(*sample, options=[*options, "--user=0"])


def _healthy(health: dict[str, Any]) -> bool:
    parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
    return all(health[part]["status"] == "healthy" for part in parts)


def test_the_ui_is_served(composed: Composed) -> None:
    with urllib.request.urlopen(composed.url, timeout=30) as page:  # noqa: S310 - on loopback
        assert b"<title>Airflow" in page.read()


def test_a_run_builds_the_warehouse_in_data(composed: Composed) -> None:
    dag = f"/api/v2/dags/{DAG}"

    def parsed() -> bool:
        assert composed.request("GET", "/api/v2/importErrors")["import_errors"] == []
        found = composed.request("GET", f"/api/v2/dags?dag_id_pattern={DAG}")
        return bool(found["total_entries"])

    composed.until("DAG", parsed)
    body = {"dag_run_id": "by_test", "logical_date": None, "conf": {"select": "+stg_game_events"}}
    assert composed.request("GET", dag)["is_paused"] is False
    composed.request("POST", f"{dag}/dagRuns", body)

    def ended() -> str | None:
        state: str = composed.request("GET", f"{dag}/dagRuns/by_test")["state"]
        return state if state in {"success", "failed"} else None

    state = composed.until("end of the run", ended)
    tasks = composed.request("GET", f"{dag}/dagRuns/by_test/taskInstances?limit=100")[
        "task_instances"
    ]
    states = {task["task_id"]: task["state"] for task in tasks}
    assert state == "success", f"{states}\n{composed.compose('logs', '--tail=60', 'scheduler')}"
    assert states["stg_game_events"] == "success"
    warehouse = composed.folder / "data" / "warehouse.duckdb"
    assert warehouse.stat().st_uid == USER
