"""`make run`, `make up` and `make down` on a small dbt project, through Airflow's real scheduler.

The tests share one checkout and run in order: what a broken or killed run leaves behind is what
the next one has to cope with.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import psutil

from include.laptop.airflow import Client, free_port
from include.settings import ROOT, Settings

HERE = Path(__file__).parent
NODES = {
    *("event_types", "stg_events", "stg_bets", "int_events"),
    *("events_history", "fct_bets", "dim_days"),
}
STEPS = {
    *("preflight", "partitions", "freshness", "cross_model_tests"),
    *("record_partitions", "kpi_summary", "done"),
}


@dataclass(frozen=True)
class Checkout:
    """A copy of the package with the small project and its lake."""

    root: Path

    @property
    def lake(self) -> Path:
        return self.root / "data" / "lake"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: text for name, text in os.environ.items() if not name.startswith("AIRFLOW")},
            "PYTHONPATH": str(self.root),
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command("include.laptop.run"),
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def left_running(self) -> list[str]:
        """Every process that works in this checkout."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PYTHONPATH") == str(self.root):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    if not (ROOT / ".venv/dbt/.installed").exists():
        pytest.skip("dbt's environment is not installed")
    root = tmp_path_factory.mktemp("checkout")
    for folder in ("dags", "include", "plugins"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
    shutil.copytree(HERE / "small_project", root / "dbt")
    shutil.copy(HERE / "small_lake.py", root / "include" / "lake" / "__main__.py")
    (root / ".venv").symlink_to(ROOT / ".venv")
    checkout = Checkout(root)
    yield checkout
    checkout.run("include.laptop.up", "down")


def states(output: str) -> dict[str, list[str]]:
    """The states that a run printed, by task, in order."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) >= 4 and words[1] == "s" and words[2] in NODES | STEPS:
            found.setdefault(words[2], []).append(words[3])
    return found


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """Read a process's output up to the line that contains the text."""
    seen = ""
    for line in process.stdout or ():
        seen += line
        if text in line:
            return seen
    pytest.fail(f"{text!r} never came: {seen}")


def write_lake(checkout: Checkout, events: str = "1,login\n2,logout\n") -> None:
    checkout.lake.mkdir(parents=True, exist_ok=True)
    (checkout.lake / "events.csv").write_text(f"event_id,event_type\n{events}")


def test_a_failed_test_a_broken_model_and_a_stale_source(checkout: Checkout) -> None:
    subprocess.run(
        [str(ROOT / ".venv/dbt/bin/python"), "-m", "include.lake", "generate"],
        cwd=checkout.root,
        env=checkout.environment,
        check=True,
    )
    write_lake(checkout, "1,login\n1,logout\n")
    days = checkout.root / "dbt/models/marts/dim_days.sql"
    good = days.read_text()
    days.write_text(good.replace("2026-09-01", "no day"))
    stale = {"stale": ["source.game_analytics.ledger.bets"]}
    (checkout.lake / "stale.json").write_text(json.dumps(stale))

    ended = checkout.run("include.laptop.run")

    print(ended.stdout, ended.stderr)
    days.write_text(good)
    (checkout.lake / "stale.json").unlink()
    assert ended.returncode == 1
    seen = states(ended.stdout)
    # A failed test is final; what hangs on it is not built.
    assert seen["stg_events"] == ["failed"]
    assert seen["int_events"] == seen["events_history"] == ["upstream_failed"]
    assert "test unique_stg_events_event_id failed: Got 1 result" in ended.stdout
    # An error is tried twice more.
    assert seen["dim_days"] == ["up_for_retry", "up_for_retry", "failed"]
    assert "model dim_days broke" in ended.stdout
    assert "file: dbt/models/marts/dim_days.sql" in ended.stdout
    # A stale source skips its nodes, and no fingerprint is recorded.
    assert seen["stg_bets"] == seen["fct_bets"] == ["skipped"]
    assert seen["event_types"] == ["success"]
    assert seen["kpi_summary"] == ["success"]
    # Neither turns green, whether the skip or the failure came first.
    assert seen["done"] == ["upstream_failed"]
    assert seen["record_partitions"] in (["skipped"], ["upstream_failed"])
    assert not (checkout.lake / "recorded").exists()
    sql = [line.split()[1] for line in ended.stdout.splitlines() if line.strip()[:4] == "SQL:"]
    assert len(sql) == 2
    assert all("select" in (checkout.root / path).read_text() for path in sql)
    assert "did not succeed" in ended.stderr
    assert checkout.left_running() == []


def test_a_stale_source_alone_is_no_success(checkout: Checkout) -> None:
    write_lake(checkout)
    stale = {"stale": ["source.game_analytics.ledger.bets"]}
    (checkout.lake / "stale.json").write_text(json.dumps(stale))
    ended = checkout.run("include.laptop.run")
    (checkout.lake / "stale.json").unlink()
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 1
    seen = states(ended.stdout)
    assert {task for task in seen if seen[task] == ["skipped"]} == {
        *("stg_bets", "fct_bets", "record_partitions")
    }
    assert seen["cross_model_tests"] == ["success"]
    assert seen["done"] == ["failed"]
    assert "stale source source.game_analytics.ledger.bets." in ended.stdout
    assert not (checkout.lake / "recorded").exists()


def test_a_killed_scheduler_ends_the_run_and_leaves_nothing(checkout: Checkout) -> None:
    write_lake(checkout)
    process = checkout.start()
    wait_for(process, " freshness ")
    other = checkout.run("include.laptop.run")
    assert other.returncode == 1
    assert other.stderr == (
        f"error: `make run` (process {process.pid}) is using this checkout: wait until it ends.\n"
    )
    schedulers = [
        child
        for child in psutil.Process(process.pid).children()
        if "scheduler" in " ".join(child.cmdline())
    ]
    assert len(schedulers) == 1
    schedulers[0].kill()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: Airflow's scheduler ended with signal 9" in output
    assert checkout.left_running() == []


def test_after_it_a_run_succeeds(checkout: Checkout) -> None:
    ended = checkout.run("include.laptop.run")
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0
    assert states(ended.stdout) == {task: ["success"] for task in NODES | STEPS}
    assert (checkout.lake / "recorded").read_text() == "recorded\n"
    for output in (Settings().duckdb, Settings().lake, ".airflow/logs"):
        assert str(checkout.root / output) in ended.stdout
    assert checkout.left_running() == []


def test_ctrl_c_stops_everything(checkout: Checkout) -> None:
    process = checkout.start()
    wait_for(process, " freshness ")
    time.sleep(3)  # Into the first dbt processes, which have sessions of their own.
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped" in output
    assert "Traceback" not in output
    assert checkout.left_running() == []


def test_up_clear_one_task_and_down(checkout: Checkout) -> None:
    port = free_port()
    started = checkout.run("include.laptop.up", "up", str(port), GAME_ANALYTICS_SCHEDULE="none")
    assert started.returncode == 0, started.stderr
    assert f"http://127.0.0.1:{port}" in started.stdout
    refused = checkout.run("include.laptop.run")
    assert refused.returncode == 1
    assert "`make up` (process " in refused.stderr
    assert "`make down` stops it" in refused.stderr

    client = Client(f"http://127.0.0.1:{port}")
    assert client.answers()
    runs = client.get("/dags/game_analytics/dagRuns", order_by="-id")["dag_runs"]
    run_id = next(run["dag_run_id"] for run in runs if run["state"] == "success")
    before = {task["task_id"]: task["try_number"] for task in client.tasks(run_id)}
    cleared = checkout.run(
        *("airflow", "tasks", "clear", "game_analytics", "--task-regex", "stg_bets", "--yes"),
        AIRFLOW_HOME=str(checkout.root / ".airflow"),
    )
    assert cleared.returncode == 0, cleared.stderr
    until = time.monotonic() + 60
    while time.monotonic() < until and client.run_state(run_id) != "success":
        time.sleep(0.5)
    after = {task["task_id"]: task["try_number"] for task in client.tasks(run_id)}
    assert after == before | {"stg_bets": before["stg_bets"] + 1}
    assert {task["state"] for task in client.tasks(run_id)} == {"success"}

    stopped = checkout.run("include.laptop.up", "down")
    assert stopped.returncode == 0, stopped.stderr
    assert checkout.left_running() == []
    assert checkout.run("include.laptop.up", "down").stdout == "Airflow is not running.\n"
