"""A checkout with the small dbt project, and the check that a run of it has ended well."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.orchestration.watcher.older_airflow import STARTS_IN_TRIGGERER
from tests.support.airflow_cluster import Cluster
from tests.support.checkout import Checkout

HERE = Path(__file__).parent
PRODUCER = "dbt_build"
BUILD = "include.build.run_dbt"
NODES = {
    *("event_types", "stg_events", "stg_bets", "int_events"),
    *("events_history", "fct_bets", "dim_days"),
}
BELOW_EVENTS = {"int_events", "events_history"}
MARTS = ["marts.dim_days", "marts.fct_bets"]


def make_checkout(root: Path) -> Checkout:
    """Return a checkout with the small project, its lake and its manifest."""
    checkout = Checkout.make(root)
    shutil.copytree(HERE / "small_project", checkout.root / "dbt")
    shutil.copy(HERE / "small_lake.py", checkout.root / "include" / "lake" / "__main__.py")
    shutil.copy(
        HERE / "small_freshness.py",
        checkout.root / "include" / "lake" / "run_days" / "freshness.py",
    )
    write_lake(checkout)
    made = checkout.run_dbt("include.manifest")
    assert made.returncode == 0, made.stderr
    return checkout


def write_lake(checkout: Checkout, events: str = "1,login\n2,logout\n") -> None:
    checkout.lake.mkdir(parents=True, exist_ok=True)
    (checkout.lake / "events.csv").write_text(f"event_id,event_type\n{events}")
    (checkout.lake / "bets.csv").write_text("bet_id,amount\n1,10\n2,20\n")


def print_case(fault: str, state: str, states: Mapping[str, str | None], same: bool) -> None:
    """Print the line of a case: fault, state of the run, tasks without success, marts."""
    others = {task: found for task, found in states.items() if found != "success"}
    tasks = ", ".join(f"{task} {found}" for task, found in sorted(others.items())) or "all success"
    print(f"\n| {fault} | run {state} | {tasks} | marts {'identical' if same else 'DIFFERENT'} |")


def ends_well(cluster: Cluster, fault: str, run_id: str, undisturbed: dict[str, Any]) -> None:
    """Wait for a run that must recover by itself: all tasks succeed and the marts are the usual."""
    state, states = cluster.end(run_id)
    marts = cluster.marts()
    print_case(fault, state, states, marts == undisturbed)
    assert (state, set(states.values())) == ("success", {"success"})
    assert marts == undisturbed
    for task in cluster.client.tasks(run_id):
        # On SQLite, Airflow 3.2.1 computes a wrong duration of a task that ends in a later minute.
        assert task["duration"] >= 0 or not STARTS_IN_TRIGGERER, task["task_id"]
