"""`make run`, `make up` and `make down` on a small dbt project, through Airflow's real scheduler.

Execution mode `local`: the task of each node starts a dbt process. `test_faults.py` and
`test_real_run.py` cover the mode `watcher`.

The tests share one checkout and run in order, so each run starts with what an earlier one left
behind when it failed or was killed.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import httpx

from include.laptop.airflow import Client, free_port
from include.settings import Settings, UserError
from tests.support.checkout import Checkout, kill_scheduler, states, wait_for

HERE = Path(__file__).parent
NODES = {
    *("event_types", "stg_events", "stg_bets", "int_events"),
    *("events_history", "eph_bets", "fct_bets", "dim_days"),
}
STEPS = {
    *("preflight", "partitions", "freshness", "cross_model_tests"),
    *("record_partitions", "kpi_summary", "publish", "done"),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout.make(tmp_path_factory.mktemp("checkout"), execution="local")
    shutil.copytree(HERE / "small_project", checkout.root / "dbt")
    shutil.copy(HERE / "small_lake.py", checkout.root / "include" / "lake" / "__main__.py")
    shutil.copy(
        HERE / "small_freshness.py",
        checkout.root / "include" / "lake" / "run_days" / "freshness.py",
    )
    yield checkout
    checkout.run("include.laptop.up", "down")


def write_lake(checkout: Checkout, events: str = "1,login\n2,logout\n") -> None:
    checkout.lake.mkdir(parents=True, exist_ok=True)
    (checkout.lake / "events.csv").write_text(f"event_id,event_type\n{events}")


def test_a_failed_test_a_broken_model_and_a_stale_source(checkout: Checkout) -> None:
    generated = checkout.run_dbt("include.lake", "generate")
    assert generated.returncode == 0, generated.stderr
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
    seen = states(ended.stdout, NODES | STEPS)
    # A failed test is final, and the nodes below it are not built.
    assert seen["stg_events"] == ["failed"]
    assert seen["int_events"] == seen["events_history"] == ["upstream_failed"]
    assert "test unique_stg_events_event_id failed: Got 1 result" in ended.stdout
    # An error is tried twice more.
    assert seen["dim_days"] == ["up_for_retry", "up_for_retry", "failed"]
    assert "model dim_days had an error" in ended.stdout
    assert "file: dbt/models/marts/dim_days.sql" in ended.stdout
    # A stale source skips its nodes, and no fingerprint is recorded.
    assert seen["stg_bets"] == seen["fct_bets"] == ["skipped"]
    # A busy machine may need a second try of a task, so only the end counts.
    assert seen["event_types"][-1] == "success"
    assert seen["kpi_summary"][-1] == "success"
    # A failed run is published too.
    assert seen["publish"][-1] == "success"
    # Neither succeeds, whether the skip or the failure came first.
    assert seen["done"] == ["upstream_failed"]
    assert seen["record_partitions"] in (["skipped"], ["upstream_failed"])
    assert not (checkout.lake / "recorded").exists()
    sql = [line.split()[1] for line in ended.stdout.splitlines() if line.strip()[:4] == "SQL:"]
    assert len(sql) == 2
    assert all("select" in (checkout.root / path).read_text() for path in sql)
    assert "did not succeed" in ended.stderr
    assert checkout.left_running() == []


def test_a_killed_scheduler_ends_the_run_and_leaves_nothing(checkout: Checkout) -> None:
    write_lake(checkout)
    process = checkout.start("include.laptop.run")
    wait_for(process, " freshness ")
    other = checkout.run("include.laptop.run")
    assert other.returncode == 1
    assert other.stderr == (
        f"error: `make run` (process {process.pid}) is using this checkout: wait until it ends.\n"
    )
    kill_scheduler(process)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: Airflow's scheduler ended with signal 9" in output
    assert checkout.left_running() == []


def test_after_it_a_run_succeeds(checkout: Checkout) -> None:
    ended = checkout.run("include.laptop.run")
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0
    assert states(ended.stdout, NODES | STEPS) == {task: ["success"] for task in NODES | STEPS}
    assert (checkout.lake / "recorded").read_text() == "recorded\n"
    for output in (Settings().duckdb, Settings().lake, ".airflow/logs"):
        assert str(checkout.root / output) in ended.stdout
    index = checkout.root / Settings().docs / "index.html"
    for title in ("dbt docs", "this run", "all runs"):
        (address,) = [line.split()[-1] for line in ended.stdout.splitlines() if line[:8] == title]
        page = Path(urlsplit(address).path)
        assert page.read_text().rstrip().endswith("</html>")
    assert page == index
    # The failed run before was published as well.
    outcomes = re.findall(r'data-label="Outcome"><span class="status (\w+)', index.read_text())
    assert outcomes == ["success", "failed"]
    assert checkout.left_running() == []


def test_only_the_owner_can_read_what_the_commands_wrote(checkout: Checkout) -> None:
    """The commands ran under umask 022, and after a `generate` that an older Makefile ran so."""
    folders = [checkout.root / name for name in (".airflow", "data", "dbt/target")]
    written = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    assert (checkout.root / "data").stat().st_mode & 0o777 == 0o700
    # `generate` wrote these before a command closed the folder `data`.
    generated = {checkout.lake, *checkout.lake.rglob("*")}
    readable = [
        f"{path.relative_to(checkout.root)} {path.lstat().st_mode & 0o777:o}"
        for path in written
        if path not in generated and not path.is_symlink() and path.lstat().st_mode & 0o077
    ]
    assert readable == []
    names = {path.name for path in written}
    assert {"airflow.cfg", "airflow.db", "lock", "warehouse.duckdb", "manifest.json"} <= names


def test_a_retry_needs_airflow(checkout: Checkout) -> None:
    refused = checkout.run("include.laptop.retry", "stg_bets")
    assert (refused.returncode, refused.stderr) == (
        *(1, "error: Airflow is not running: `make up` starts it, then try again.\n"),
    )


@pytest.fixture(scope="module")
def airflow(checkout: Checkout) -> Client:
    """The API of the Airflow that `make up` starts; `test_down` stops it."""
    port = free_port()
    started = checkout.run("include.laptop.up", "up", str(port), GAME_ANALYTICS_SCHEDULE="none")
    assert started.returncode == 0, started.stderr
    assert f"http://127.0.0.1:{port}" in started.stdout
    client = Client(f"http://127.0.0.1:{port}")
    assert client.answers()
    return client


def test_airflow_answers_only_requests_that_name_it(airflow: Client) -> None:
    """A page of another host reaches loopback through DNS rebinding, with its own name as Host."""
    port = httpx.URL(airflow.http.base_url).port
    paths = ("/", "/api/v2/monitor/health", "/auth/token", "/execution/health", "/static/")
    for path in paths:
        for host in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}", ""):
            refused = httpx.get(
                f"{airflow.http.base_url}{path}", headers={"Host": host}, timeout=60
            )
            assert (refused.status_code, refused.text) == (400, "Invalid host header"), path
        for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
            url = f"{airflow.http.base_url}{path}"
            answered = httpx.get(url, headers={"Host": host}, timeout=60)
            assert answered.status_code != 400, path
    page = httpx.get(f"http://localhost:{port}/", headers={"Host": f"localhost:{port}"}, timeout=60)
    assert page.status_code == 200
    assert "<title>Airflow" in page.text


def test_up_and_retry_one_task(checkout: Checkout, airflow: Client) -> None:
    refused = checkout.run("include.laptop.run")
    assert refused.returncode == 1
    assert "`make up` (process " in refused.stderr
    assert "`make down` stops it" in refused.stderr

    client = airflow
    run_id = client.last_run()
    assert run_id
    unknown = checkout.run("include.laptop.retry", "stg_bet")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("error: there is no task stg_bet: did you mean stg_bets")
    before = {task["task_id"]: task["try_number"] for task in client.tasks(run_id)}
    cleared = checkout.run("include.laptop.retry", "stg_bets")
    assert cleared.returncode == 0, cleared.stderr
    again = {
        *("stg_bets", "eph_bets", "fct_bets", "cross_model_tests"),
        *("record_partitions", "kpi_summary", "publish", "done"),
    }
    expected = f"Cleared in run {run_id}, and running again: {', '.join(sorted(again))}.\n"
    assert cleared.stdout == expected
    until = time.monotonic() + 120
    while time.monotonic() < until and client.run_state(run_id) != "success":
        time.sleep(0.5)
    after = {task["task_id"]: task["try_number"] for task in client.tasks(run_id)}
    assert {task for task in after if after[task] != before[task]} == again
    assert {task["state"] for task in client.tasks(run_id)} == {"success"}


def test_a_manual_run_by_rest(checkout: Checkout, airflow: Client) -> None:
    client = airflow
    recorded = (checkout.lake / "recorded").read_text()

    def ask(**conf: Any) -> tuple[str, dict[str, list[str]]]:
        """Run to the end; returns the run's state, and its tasks by their states."""
        given = [f"{name}_{value}".replace(" ", "_") for name, value in conf.items()]
        run_id = "_".join(["asked", *given])
        client.trigger(run_id, conf)
        until = time.monotonic() + 300
        while client.run_state(run_id) in {"queued", "running"} and time.monotonic() < until:
            time.sleep(0.5)
        found: dict[str, list[str]] = {}
        for task in client.tasks(run_id):
            found.setdefault(task["state"], []).append(task["task_id"])
        return client.run_state(run_id), {state: sorted(found[state]) for state in found}

    # A node in the middle: neither what it reads nor what reads it.
    steps = STEPS - {"cross_model_tests", "record_partitions"}
    state, tasks = ask(select="int_events", full_refresh=True)
    assert tasks == {
        "success": sorted(steps | {"int_events"}),
        "skipped": sorted(NODES - {"int_events"} | STEPS - steps),
    }
    assert state == "success"

    # All leaves succeed, but other nodes are not built, so no day is recorded.
    left_out = {"event_types", "stg_bets"}
    state, tasks = ask(exclude=" ".join(sorted(left_out)))
    assert tasks["skipped"] == sorted({"eph_bets", "record_partitions", *left_out})
    assert state == "success"

    # A run in which nothing failed is no success if a source was stale.
    stale = {"stale": ["source.game_analytics.ledger.bets"]}
    (checkout.lake / "stale.json").write_text(json.dumps(stale))
    state, tasks = ask(select="stg_bets fct_bets")
    (checkout.lake / "stale.json").unlink()
    assert (state, tasks["failed"]) == ("failed", ["done"])
    assert set(tasks["skipped"]) == NODES | {"cross_model_tests", "record_partitions"}
    message = client.error("asked_select_stg_bets_fct_bets", "done", 1)
    assert "stale source source.game_analytics.ledger.bets." in message

    state, tasks = ask(dry_run=True)
    assert tasks == {
        "success": ["done", "preflight"],
        "skipped": sorted(NODES | STEPS - {"done", "preflight"}),
    }
    assert state == "success"
    folder = checkout.root / ".airflow/artifacts/asked_dry_run_True/preflight"
    assert "2026-09-01" in (folder / "models/marts/dim_days.sql").read_text()

    # tests/unit/test_run_form.py and tests/unit/build/test_preflight.py have the other mistakes.
    state, tasks = ask(select="int_event")
    assert (state, tasks.pop("failed")) == ("failed", ["preflight"])
    assert set(tasks) == {"upstream_failed", "success"}
    assert tasks["success"] == ["kpi_summary", "publish"]
    message = client.error("asked_select_int_event", "preflight", 1)
    expected = "error: select 'int_event' cannot be resolved, name nodes in"
    assert message.startswith(expected), message
    with pytest.raises(UserError, match=r"refuses POST .* \(400\): .*full_refresh"):
        ask(full_refresh="yes")

    assert (checkout.lake / "recorded").read_text() == recorded


def test_down(checkout: Checkout, airflow: Client) -> None:
    assert airflow.answers()
    stopped = checkout.run("include.laptop.up", "down")
    assert stopped.returncode == 0, stopped.stderr
    assert checkout.left_running() == []
    assert checkout.run("include.laptop.up", "down").stdout == "Airflow is not running.\n"


def test_ctrl_c_stops_everything(checkout: Checkout) -> None:
    process = checkout.start("include.laptop.run")
    wait_for(process, " freshness ")
    time.sleep(3)  # Until the first dbt processes run, which have sessions of their own.
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped" in output
    assert "Traceback" not in output
    assert checkout.left_running() == []


def test_ctrl_c_during_up_stops_everything(checkout: Checkout) -> None:
    process = checkout.start("include.laptop.up", "up", str(free_port()))
    until = time.monotonic() + 60
    while time.monotonic() < until and len(checkout.left_running()) < 4:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped" in output
    assert "Traceback" not in output
    assert checkout.left_running() == []
