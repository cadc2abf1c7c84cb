"""The DAGs as Airflow loads them: exact tasks, their order, an import that touches nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NoReturn

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from include import manifest
from include.settings import ROOT, Settings

NODES = {
    # Seeds and snapshots
    *("currency_aliases", "event_types", "snap_ledger_players"),
    # Staging
    *("stg_game_events", "stg_game_events__rejected_lines"),
    *("stg_ledger__exchange_rates", "stg_ledger__game_categories", "stg_ledger__game_providers"),
    *("stg_ledger__games", "stg_ledger__players", "stg_ledger__transactions"),
    "stg_marketing__spend",
    # Intermediate
    *("int_application_days", "int_bets", "int_event_days", "int_events", "int_exchange_rates"),
    *("int_kpis_by_segment", "int_lake_days", "int_marketing_spend", "int_money_events"),
    "int_player_days",
    # Marts
    *("dim_games", "dim_ledger_players", "dim_players", "fct_bets", "fct_player_days"),
    *("fct_purchases", "fct_quarantined_events", "fct_sessions", "rpt_betting"),
    *("rpt_daily_kpis", "rpt_daily_kpis_by_segment", "rpt_data_health", "rpt_ltv"),
    *("rpt_ltv_overall", "rpt_retention", "rpt_retention_overall"),
}
STEPS = {
    *("preflight", "partitions", "freshness"),
    *("cross_model_tests", "record_partitions", "kpi_summary", "done"),
}
IMPORT_SECONDS = 10


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """The manifest, read without the code under test."""
    if not (ROOT / ".venv/dbt/.installed").exists():
        pytest.skip("dbt's environment is not installed, so no manifest can be made")
    manifest.make(Settings.from_env({}))
    read: dict[str, Any] = json.loads((ROOT / "dbt/target/manifest.json").read_text())
    return read


@pytest.fixture(scope="module")
def bag(content: dict[str, Any]) -> Iterator[DagBag]:
    """All DAGs, loaded while every way to a network or another program is closed."""
    assert content

    def closed(name: str) -> Callable[..., NoReturn]:
        def refuse(*arguments: object, **_: object) -> NoReturn:
            raise AssertionError(f"the import of a DAG called {name}{arguments}")

        return refuse

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            *((socket.socket, name) for name in ("connect", "connect_ex", "bind", "sendto")),
            *((socket, name) for name in ("create_connection", "getaddrinfo")),
            *((subprocess, name) for name in ("Popen", "run")),
            *((os, name) for name in ("system", "fork", "posix_spawn", "execv", "popen")),
        ):
            patch.setattr(owner, name, closed(name))
        began = time.monotonic()
        bag = DagBag(dag_folder=str(ROOT / "dags"), load_op_links=False)
        seconds = time.monotonic() - began
    print(f"\nImport of all DAGs: {seconds:.2f} s")
    assert seconds < IMPORT_SECONDS
    yield bag


@pytest.fixture
def dag(bag: DagBag) -> Any:
    found: DAG = bag.dags["game_analytics"]
    return found


def test_exactly_these_dags_and_no_import_error(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == {"game_analytics"}


def test_exactly_these_tasks(dag: Any) -> None:
    assert set(dag.task_ids) == NODES | STEPS


def test_every_task_has_exactly_its_upstream_tasks(dag: Any, content: dict[str, Any]) -> None:
    parents = {
        node["name"]: {
            content["nodes"][parent]["name"]
            for parent in node["depends_on"].get("nodes", ())
            if parent in content["nodes"]
        }
        for node in content["nodes"].values()
        if node["resource_type"] in {"model", "seed", "snapshot"}
    }
    leaves = set(parents) - set().union(*parents.values())
    expected = {name: found or {"freshness"} for name, found in parents.items()} | {
        "preflight": set(),
        "partitions": {"preflight"},
        "freshness": {"partitions"},
        "cross_model_tests": leaves,
        "record_partitions": leaves | {"cross_model_tests"},
        "kpi_summary": leaves | {"cross_model_tests", "record_partitions"},
        "done": leaves | {"cross_model_tests", "record_partitions", "kpi_summary"},
    }
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == expected


def test_trigger_rules(dag: Any) -> None:
    """A failed node fails the run, whatever else was skipped; the KPIs come in any case."""
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}
    assert {name: rule for name, rule in rules.items() if rule != "all_success"} == {
        "cross_model_tests": "none_failed",
        "kpi_summary": "all_done",
        "done": "none_failed",
    }


def test_errors_are_retried_with_back_off(dag: Any) -> None:
    retries = {task.task_id: task.retries for task in dag.tasks}
    assert retries == {name: 0 if name in {"preflight", "done"} else 2 for name in NODES | STEPS}
    for task in dag.tasks:
        assert task.retry_exponential_backoff == 2
        assert task.retry_delay >= timedelta(minutes=5)
        assert task.on_failure_callback


def test_the_dag_runs_one_at_a_time_and_is_its_own_runbook(dag: Any) -> None:
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert dag.schedule == Settings().schedule
    assert dag.doc_md
    for step in STEPS:
        assert f"`{step}`" in dag.doc_md
    assert len((ROOT / "dags/game_analytics.py").read_text().splitlines()) <= 60


def test_node_tasks_run_one_node_and_no_test_of_others(dag: Any) -> None:
    for name in NODES:
        task = dag.get_task(name)
        assert task.select.startswith("fqn:game_analytics.")
        assert task.select.endswith(f".{name}")
        assert task.dbt_cmd_flags == ["--exclude-resource-type", "unit_test"]
        assert task.indirect_selection == "cautious"


def test_every_data_test_runs_in_exactly_one_task(dag: Any, content: dict[str, Any]) -> None:
    tests = {key for key, node in content["nodes"].items() if node["resource_type"] == "test"}
    ran = [key for task in dag.tasks for key in getattr(task, "files", ()) if key in tests]
    assert sorted(ran) == sorted(tests)
    across = {
        key for key in tests if len(content["nodes"][key]["depends_on"].get("nodes", ())) != 1
    }
    assert across <= set(dag.get_task("cross_model_tests").files)


def test_every_mart_is_an_asset_and_every_model_has_an_owner(
    dag: Any, content: dict[str, Any]
) -> None:
    assets = {
        task.task_id: [asset.uri for asset in task.outlets] for task in dag.tasks if task.outlets
    }
    marts = {name for name in NODES if name.startswith(("dim_", "fct_", "rpt_"))}
    assert assets == {name: [f"game-analytics://marts/{name}"] for name in marts}
    owners = {
        group["owner"].get("name") or group["owner"].get("email")
        for group in content["groups"].values()
    }
    assert {dag.get_task(name).owner for name in marts} <= owners
