"""The DAGs as Airflow loads them: their tasks, the order, an import that connects to nothing."""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any, NoReturn

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from include import manifest
from include.run_form import FIELDS, RunForm
from include.settings import ROOT, Settings, UserError

NODES = {
    # Seeds and snapshots
    *("betting_fees", "currency_aliases", "event_types", "experiment_variants", "funnel_steps"),
    *("kpi_map", "transaction_types", "snap_ledger_players"),
    # Staging
    *("stg_game_events", "stg_game_events__rejected_lines"),
    *("stg_ledger__exchange_rates", "stg_ledger__game_categories", "stg_ledger__game_providers"),
    *("stg_ledger__games", "stg_ledger__players", "stg_ledger__transactions"),
    *("stg_ledger__rows_without_id", "stg_marketing__spend"),
    # Intermediate
    *("int_application_days", "int_bet_reversals", "int_bets", "int_betting_fees"),
    *("int_betting_player_months", "int_betting_results", "int_campaign_spend"),
    *("int_currency_days", "int_day_end_activity", "int_event_days", "int_events"),
    *("int_exchange_rates", "int_experiment_exposures", "int_experiment_metrics"),
    *("int_experiment_players", "int_funnel_events", "int_gameplay_events"),
    *("int_kpis_by_segment", "int_lake_days", "int_ledger_players", "int_level_days"),
    *("int_marketing_spend", "int_matchmaking_events", "int_money_events", "int_player_days"),
    *("int_player_flows", "int_player_funnels", "int_player_levels", "int_player_lifetimes"),
    *("int_purchases", "int_quarantined_transactions", "int_refunds", "int_segment_days"),
    *("int_segment_values", "int_session_errors", "int_session_lengths"),
    # Marts
    *("dim_games", "dim_ledger_players", "dim_players", "fct_bets", "fct_player_days"),
    *("fct_purchases", "fct_quarantined_events", "fct_quarantined_rows", "fct_sessions"),
    *("rpt_ads", "rpt_betting", "rpt_betting_by_segment", "rpt_betting_cohorts"),
    *("rpt_churn_features", "rpt_daily_kpis", "rpt_daily_kpis_by_segment", "rpt_data_health"),
    *("rpt_economy", "rpt_economy_by_reason", "rpt_experiments", "rpt_latency"),
    *("rpt_level_difficulty", "rpt_ltv", "rpt_ltv_by_segment", "rpt_ltv_overall"),
    *("rpt_matchmaking", "rpt_matchmaking_failures", "rpt_monthly_kpis"),
    *("rpt_player_lifecycle", "rpt_player_segments", "rpt_progression_funnel"),
    *("rpt_purchases", "rpt_purchases_by_item", "rpt_retention", "rpt_retention_by_segment"),
    *("rpt_retention_overall", "rpt_sentiment_and_reports", "rpt_session_lengths"),
    "rpt_stability",
}
STEPS = {
    *("preflight", "partitions", "freshness", "dbt_build"),
    *("cross_model_tests", "record_partitions", "kpi_summary", "publish", "done"),
}
IMPORT_SECONDS = 10


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """The manifest, read without the code that is tested here."""
    if not (ROOT / ".venv/dbt/.installed").exists():
        pytest.skip("dbt's environment is not installed, so no manifest can be made")
    manifest.make(Settings.from_env({}))
    read: dict[str, Any] = json.loads((ROOT / "dbt/target/manifest.json").read_text())
    return read


@pytest.fixture(scope="module")
def bag(content: dict[str, Any]) -> Iterator[DagBag]:
    """All DAGs, loaded while network calls and the start of programs raise an error."""
    assert content

    def forbidden(name: str) -> Callable[..., NoReturn]:
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
            patch.setattr(owner, name, forbidden(name))
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
    assert set(bag.dags) == {"game_analytics", "game_analytics_step_functions"}
    assert bag.dags["game_analytics_step_functions"].task_ids == ["state_machine"]


def test_every_dag_has_tags(bag: DagBag) -> None:
    tags = {dag_id: dag.tags for dag_id, dag in bag.dags.items()}
    assert tags == {
        "game_analytics": {"analytics", "dbt", "duckdb"},
        "game_analytics_step_functions": {"analytics", "dbt", "redshift", "step-functions"},
    }


def test_the_dag_has_exactly_these_tasks(dag: Any) -> None:
    assert set(dag.task_ids) == NODES | STEPS
    assert STEPS | {"unlock"} == manifest.STEPS


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
        # Not upstream of the nodes: its failure must not make them fail.
        "dbt_build": {"freshness"},
        "cross_model_tests": leaves,
        "record_partitions": leaves | {"cross_model_tests"},
        "kpi_summary": leaves | {"cross_model_tests", "dbt_build"},
        "publish": {"record_partitions", "kpi_summary"},
        "done": leaves | {"cross_model_tests", "record_partitions", "kpi_summary", "publish"},
    }
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == expected


def test_without_the_watcher_each_node_runs_dbt(
    bag: DagBag, dag: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bag
    monkeypatch.setenv("GAME_ANALYTICS_EXECUTION", "local")
    local = DagBag(dag_folder=str(ROOT / "dags"), load_op_links=False).dags["game_analytics"]
    assert set(local.task_ids) == NODES | STEPS - {"dbt_build"}
    for name in NODES | {"freshness"}:
        assert not local.get_task(name).start_from_trigger
        assert dag.get_task(name).start_from_trigger
        assert local.get_task(name).upstream_task_ids == dag.get_task(name).upstream_task_ids


@pytest.mark.parametrize("execution", ["local", "watcher", "fargate", "ecs"])
def test_on_redshift_the_tasks_are_the_same_in_every_mode_and_unlock_is_one_of_the_last(
    bag: DagBag, dag: Any, monkeypatch: pytest.MonkeyPatch, execution: str
) -> None:
    assert bag
    for name, value in {
        "TARGET": "redshift",
        "LAKE": "s3://studio-lake/lake",
        "DOCS": "s3://studio-docs/site",
        "ECS_SUBNETS": "subnet-0123456789abcdef0",
        "EXECUTION": execution,
    }.items():
        monkeypatch.setenv(f"GAME_ANALYTICS_{name}", value)
    # A missing fingerprint is reported by preflight, so the DAG must load without it.
    monkeypatch.setattr("include.manifest.FINGERPRINT", ROOT / "no such file")
    found = DagBag(dag_folder=str(ROOT / "dags"), load_op_links=False).dags["game_analytics"]
    producer = {"dbt_build"} if execution in {"watcher", "fargate"} else set()
    assert set(found.task_ids) == NODES | STEPS - {"dbt_build"} | producer | {"unlock"}
    if producer:
        # A container is started for one request, so it cannot be started before that is known.
        rule = "always" if execution == "watcher" else "all_success"
        assert found.get_task("dbt_build").trigger_rule.value == rule
    assert found.get_task("freshness").start_from_trigger is (execution == "watcher")
    assert found.get_task("unlock").trigger_rule.value == "all_done"
    assert found.get_task("unlock").upstream_task_ids == {"publish"}
    assert "unlock" in found.get_task("done").upstream_task_ids
    for name in NODES:
        task: Any = found.get_task(name)
        assert bool(task.start_from_trigger) is bool(producer)
        assert task.upstream_task_ids == dag.get_task(name).upstream_task_ids
        assert task.select == dag.get_task(name).select
        assert task.owner == dag.get_task(name).owner
        assert task.outlets == dag.get_task(name).outlets


def test_the_serialized_dag_has_no_settings_and_is_small(dag: Any) -> None:
    """Each task repeats what all have, and the triggerer reads all of it for each waiting task."""
    text = json.dumps(DagSerialization.to_dict(dag))
    assert "GAME_ANALYTICS_" not in text
    assert len(text) < 1_300 * len(dag.tasks)


def test_days_are_recorded_only_if_every_node_is_built(dag: Any) -> None:
    assert set(dag.get_task("record_partitions").nodes) == NODES


def test_only_these_tasks_have_another_trigger_rule_than_all_success(dag: Any) -> None:
    """A failed node fails the run, even if other nodes are skipped. A failed run is published too.

    A selected node is built even if an upstream node is not selected. `record_partitions` needs all
    nodes.
    """
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}
    assert {name: rule for name, rule in rules.items() if rule != "all_success"} == {
        **dict.fromkeys(NODES, "none_failed"),
        "cross_model_tests": "none_failed",
        # It starts with the run and builds nothing before `freshness` has succeeded.
        "dbt_build": "always",
        "kpi_summary": "all_done",
        "publish": "all_done",
        "done": "none_failed",
    }


def test_errors_are_retried_with_back_off(dag: Any) -> None:
    retries = {task.task_id: task.retries for task in dag.tasks}
    assert retries == {name: 0 if name in {"preflight", "done"} else 2 for name in NODES | STEPS}
    for task in dag.tasks:
        assert task.retry_exponential_backoff == 2
        assert task.retry_delay >= timedelta(minutes=5)
        assert task.on_failure_callback


def filled_in(dag: Any, conf: dict[str, Any]) -> dict[str, Any]:
    """The parameters as a task gets them; a copy, because an update would change the DAG."""
    params = copy.deepcopy(dag.params)
    params.update(conf)
    filled: dict[str, Any] = params.validate()
    return filled


@pytest.mark.parametrize(
    "conf",
    [
        {"select": ["fct_bets"]},
        {"select": ""},
        {"select": " \t"},
        {"exclude": "--vars"},
        {"exclude": 1},
        {"full_refresh": "yes"},
        {"full_refresh": None},
        {"dry_run": 1},
        {"from": "yesterday"},
        {"from": "20260901"},
        {"to": "2026-02-30"},
        {"to": 20260901},
        {"to": "2026-09-01T00:00:00"},
    ],
)
def test_the_form_refuses_values_of_another_type(dag: Any, conf: dict[str, Any]) -> None:
    with pytest.raises(ParamValidationError):
        filled_in(dag, conf)


def test_the_form_accepts_valid_values(dag: Any) -> None:
    def form(conf: dict[str, Any]) -> RunForm:
        return RunForm.from_params(filled_in(dag, conf))

    assert form({}) == RunForm()
    day = {"from": "2026-09-01", "to": "2026-09-02"}
    assert form({"select": "a+ b", "exclude": "c", "dry_run": True} | day).dry_run
    assert form({"select": None, "from": None, "full_refresh": True}).full_refresh
    with pytest.raises(UserError, match="selects is no field"):
        form({"selects": "a"})
    for name, param in ((name, dag.params.get_param(name)) for name in FIELDS):
        assert param.description, name
        assert "title" in param.schema, name


def test_the_arguments_of_each_step_from_the_form(dag: Any) -> None:
    day, next_day = date(2026, 9, 1), date(2026, 9, 2)
    everything = RunForm("a b", "c", True, day, next_day, allow_lost_rows=True)
    days = ["--allow-lost-rows", "--from", "2026-09-01", "--to", "2026-09-02"]
    run = ["--run-id", "{{ run_id }}"]
    words = {
        step: [*task.command, *(task.form(everything) if task.form else [])]
        for step in STEPS - {"cross_model_tests", "dbt_build", "done"}
        for task in [dag.get_task(step)]
    }
    selection = ["--select", "a b", "--exclude", "c", "--full-refresh"]
    assert words == {
        "preflight": ["include.build.preflight", "--json", *selection, *days],
        "partitions": ["include.lake", "partitions", *run, "--full-refresh", *days],
        "freshness": ["include.lake", "freshness", *run],
        "record_partitions": ["include.lake", "record", *run, "--full-refresh"],
        "kpi_summary": ["include.build.kpis"],
        "publish": ["include.site", "publish", *run, "--request"],
    }
    assert [step for step in words if dag.get_task(step).runs_dry] == ["preflight"]


def test_each_cross_model_test_has_all_of_its_nodes(dag: Any, content: dict[str, Any]) -> None:
    task = dag.get_task("cross_model_tests")
    assert set(task.nodes) == set(task.sources)
    for test in task.files:
        parents = set(content["nodes"][test]["depends_on"]["nodes"])
        selector = manifest.Manifest(content).selector(test)
        assert task.nodes[selector] == parents - set(content["sources"]), test


def test_the_dag_runs_one_at_a_time_and_is_its_own_runbook(dag: Any) -> None:
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert dag.schedule == Settings().schedule
    assert dag.doc_md
    for step in STEPS:
        assert f"`{step}`" in dag.doc_md
    assert len((ROOT / "dags/game_analytics.py").read_text().splitlines()) <= 100


def test_node_tasks_run_one_node_and_no_test_of_others(dag: Any) -> None:
    for name in NODES:
        task = dag.get_task(name)
        path = task.model_file.removeprefix("dbt/")
        # A YAML file declares tests too, so its path is no selector of the snapshot alone.
        also = f",fqn:game_analytics.{name}" if path.endswith(".yml") else ""
        assert task.select == f"path:{path}{also}"
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
        task.task_id: [outlet.uri for outlet in task.outlets if isinstance(outlet, Asset)]
        for task in dag.tasks
        if task.outlets
    }
    marts = {name for name in NODES if name.startswith(("dim_", "fct_", "rpt_"))}
    # dbt_build and done emit asset events through an alias.
    assert assets == {
        **{name: [f"game-analytics://marts/{name}"] for name in marts},
        **{"dbt_build": [], "done": []},
    }
    assert set(dag.get_task("dbt_build").assets) == marts
    owners = {
        group["owner"].get("name") or group["owner"].get("email")
        for group in content["groups"].values()
    }
    assert {dag.get_task(name).owner for name in marts} <= owners
