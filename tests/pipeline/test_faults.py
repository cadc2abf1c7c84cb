"""How a run of execution mode `watcher` ends after every fault.

Airflow's processes and dbt are real. The dbt project is small and builds on DuckDB; its macro
`passes` holds a node or makes it fail. After each case the marts must equal those of an undisturbed
run. `pytest -s tests/pipeline/test_faults.py` prints one line of a table per case.
`tests/mwaa/other_airflow.py` runs this file under Airflow 3.2.1, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.orchestration.watcher.older_airflow import STARTS_IN_TRIGGERER
from tests.pipeline.small_run import (
    BELOW_EVENTS,
    BUILD,
    MARTS,
    NODES,
    PRODUCER,
    ends_well,
    make_checkout,
    print_case,
    write_lake,
)
from tests.support.airflow_cluster import Cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    checkout = make_checkout(tmp_path_factory.mktemp("checkout"))
    with Cluster.up(checkout) as cluster:
        yield cluster
    assert checkout.left_running() == []


@pytest.fixture(scope="module")
def first_run(cluster: Cluster) -> str:
    """The id of the first run, in which nothing goes wrong."""
    run_id = cluster.trigger()
    state, states = cluster.end(run_id)
    assert (state, set(states.values())) == ("success", {"success"})
    return run_id


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, first_run: str) -> dict[str, Any]:
    """The marts after a run in which nothing goes wrong."""
    assert first_run
    return cluster.marts()


def test_a_good_node_needs_no_worker(
    cluster: Cluster, first_run: str, undisturbed: dict[str, Any]
) -> None:
    run_id = first_run
    ends_well(cluster, "none", run_id, undisturbed)
    tasks = {task["task_id"]: task for task in cluster.client.tasks(run_id)}
    assert {task: tasks[task]["try_number"] for task in NODES} == dict.fromkeys(NODES, 1)
    if STARTS_IN_TRIGGERER:
        assert {tasks[task]["hostname"] for task in NODES} == {""}
    assert tasks[PRODUCER]["hostname"]
    assert cluster.asset_events(run_id) == MARTS
    # The log of each task holds dbt's lines about its own node.
    for node in NODES - {"event_types", "events_history"}:
        assert f"OK created sql table model marts.{node} " in cluster.log(run_id, node)
    assert "WARN 1 accepted_values_dim_days" in cluster.log(run_id, "dim_days")


def test_a_broken_node_is_retried_and_the_rest_goes_on(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    broken = cluster.checkout.lake / "broken" / "stg_events"
    broken.parent.mkdir(exist_ok=True)
    broken.touch()
    run_id = cluster.trigger()
    cluster.wait_for(run_id, "stg_events", "up_for_retry")
    broken.unlink()
    ends_well(cluster, "a node errors once", run_id, undisturbed)
    tries = cluster.tries(run_id)
    assert {task: tries[task] for task in BELOW_EVENTS} == dict.fromkeys(BELOW_EVENTS, 1)
    assert (tries["stg_events"], tries[PRODUCER]) == (2, 1)
    assert "stg_events is broken on purpose" in cluster.log(run_id, "stg_events")


def test_a_failed_test_is_final_and_a_cleared_run_starts_anew(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    write_lake(cluster.checkout, "1,login\n1,logout\n")
    run_id = cluster.trigger()
    state, states = cluster.end(run_id)
    print_case("a test fails", state, states, cluster.marts() == undisturbed)
    assert (state, states["stg_events"]) == ("failed", "failed")
    assert {task for task in NODES if states[task] == "upstream_failed"} == BELOW_EVENTS
    assert cluster.tries(run_id)["stg_events"] == 1
    log = cluster.log(run_id, "stg_events")
    assert "test unique_stg_events_event_id failed: Got 1 result" in log
    assert "unique_field=1" in log
    assert "has the new rows, although a test of it failed" in log
    # The tested table is built. The tables below it still hold the rows of the run before.
    marts = cluster.marts()
    assert marts["stg_events"] != undisturbed["stg_events"]
    assert marts["int_events"] == undisturbed["int_events"]

    write_lake(cluster.checkout)
    cluster.client.clear(run_id, "partitions")
    ends_well(cluster, "a failed run is cleared whole", run_id, undisturbed)
    assert set(cluster.tries(run_id).values()) <= {1, 2}


def test_what_is_not_selected_is_skipped(cluster: Cluster, undisturbed: dict[str, Any]) -> None:
    state, states = cluster.end(cluster.trigger(select="int_events"))
    print_case("not selected", state, states, cluster.marts() == undisturbed)
    assert state == "success"
    assert {task for task in NODES if states[task] != "skipped"} == {"int_events"}
    assert states["int_events"] == "success"
    assert states["record_partitions"] == "skipped"


def test_a_dry_run_skips_all_without_a_worker(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    run_id = cluster.trigger(dry_run=True)
    state, states = cluster.end(run_id)
    print_case("dry run", state, states, cluster.marts() == undisturbed)
    assert state == "success"
    assert {states[task] for task in NODES} == {"skipped"}
    if STARTS_IN_TRIGGERER:
        assert {
            task["hostname"] for task in cluster.client.tasks(run_id) if task["task_id"] in NODES
        } == {""}


def test_while_freshness_is_retried_the_producer_waits(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    broken = cluster.checkout.lake / "broken" / "freshness"
    broken.parent.mkdir(exist_ok=True)
    broken.touch()
    run_id = cluster.trigger()
    cluster.wait_for(run_id, "freshness", "up_for_retry")
    assert cluster.states(run_id)[PRODUCER] == "running"
    broken.unlink()
    ends_well(cluster, "freshness errors once", run_id, undisturbed)
    tries = cluster.tries(run_id)
    assert (tries["freshness"], tries[PRODUCER]) == (2, 1)
    assert {task: tries[task] for task in NODES} == dict.fromkeys(NODES, 1)
    # The first try ran on a worker too, where its own process found the error again.
    assert "freshness is broken on purpose" in cluster.log(run_id, "freshness")


def test_a_failed_preflight_skips_the_producer_until_it_is_cleared(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    fingerprint = cluster.checkout.root / "dbt" / "models" / "project.yml"
    good = fingerprint.read_text()
    fingerprint.write_text(f"{good}# changed\n")
    run_id = cluster.trigger()
    state, states = cluster.end(run_id)
    print_case("preflight fails", state, states, cluster.marts() == undisturbed)
    assert (state, states["preflight"], states[PRODUCER]) == ("failed", "failed", "skipped")
    assert {states[task] for task in {*NODES, "partitions", "freshness", "done"}} == {
        "upstream_failed"
    }
    fingerprint.write_text(good)
    cluster.client.clear(run_id, "preflight")
    ends_well(cluster, "and then preflight cleared", run_id, undisturbed)


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_killed_producer_goes_on_where_it_was(
    cluster: Cluster, undisturbed: dict[str, Any], when: str
) -> None:
    with cluster.gate("int_events") as gate, cluster.gate("stg_events") as first:
        run_id = cluster.trigger()
        (build,) = cluster.until("dbt runs", lambda: cluster.programs(BUILD))
        victim = build
        if when != "before":
            cluster.wait_for(run_id, "fct_bets", "success")
            first.open()
        if when == "after":
            # The task's own process is killed: dbt must not go on without it.
            cluster.wait_for(run_id, "stg_events", "success")
            victim = build.parent()
        victim.kill()
        first.open()
        cluster.until("dbt is gone", lambda: not build.is_running())
        gate.open()
        ends_well(cluster, f"producer killed {when} a node", run_id, undisturbed)
    tries = cluster.tries(run_id)
    assert {task: tries[task] for task in NODES} == dict.fromkeys(NODES, 1)
    assert tries[PRODUCER] == 2
    assert ("Still to build: 7 of 7" in cluster.log(run_id, PRODUCER, 2)) == (when == "before")
    assert cluster.asset_events(run_id) == MARTS
    if when == "after":
        # The results that the second try reported again are older than this clear.
        cluster.client.clear(run_id, "fct_bets")
        ends_well(cluster, "and then a node cleared", run_id, undisturbed)
        built = "OK created sql table model marts.fct_bets"
        assert built in cluster.log(run_id, "fct_bets", 2)
        assert cluster.asset_events(run_id) == sorted([*MARTS, "marts.fct_bets"])


def test_without_a_producer_each_node_builds_itself(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    with cluster.gate("stg_events") as gate:
        run_id = cluster.trigger()
        for attempt in (1, 2, 3):
            cluster.until("next try", lambda: cluster.tries(run_id)[PRODUCER] == attempt)  # noqa: B023
            (build,) = cluster.until("dbt runs", lambda: cluster.programs(BUILD))
            build.kill()
            cluster.until("dbt is gone", lambda: not build.is_running())  # noqa: B023
        gate.open()
    state, states = cluster.end(run_id)
    marts = cluster.marts()
    print_case("producer killed at every try", state, states, marts == undisturbed)
    assert state == "success"
    assert {task for task, found in states.items() if found != "success"} == {PRODUCER}
    assert marts == undisturbed
    assert "dbt_build failed: nodes have been built by their own tasks." in cluster.log(
        run_id, "done"
    )
    assert cluster.asset_events(run_id) == MARTS


def test_a_triggerer_that_was_away_finds_what_has_happened(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    with cluster.gate("int_events") as gate:
        run_id = cluster.trigger()
        cluster.wait_for(run_id, "int_events", "deferred")
        cluster.kill("triggerer")
        gate.open()
        cluster.wait_for(run_id, PRODUCER, "success")
        cluster.start("triggerer")
        ends_well(cluster, "triggerer killed and restarted", run_id, undisturbed)
    assert set(cluster.tries(run_id).values()) == {1}


def test_a_scheduler_that_was_away_goes_on(cluster: Cluster, undisturbed: dict[str, Any]) -> None:
    with cluster.gate("int_events") as gate:
        run_id = cluster.trigger()
        cluster.wait_for(run_id, "int_events", "deferred")
        (build,) = cluster.programs(BUILD)
        # The scheduler's workers are killed with it, the processes that they started are not.
        cluster.kill("scheduler")
        cluster.until("dbt is gone", lambda: not build.is_running())
        cluster.start("scheduler")
        gate.open()
        ends_well(cluster, "scheduler and workers killed and restarted", run_id, undisturbed)
    assert cluster.tries(run_id)[PRODUCER] == 2


def test_runs_in_a_queue_do_not_meet(cluster: Cluster, undisturbed: dict[str, Any]) -> None:
    runs = [cluster.trigger(), cluster.trigger()]
    for number, run_id in enumerate(runs, 1):
        ends_well(cluster, f"two runs queued, number {number}", run_id, undisturbed)


def test_a_task_marked_as_a_success_stays_one(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    broken = cluster.checkout.lake / "broken" / "stg_bets"
    broken.parent.mkdir(exist_ok=True)
    broken.touch()
    run_id = cluster.trigger()
    cluster.wait_for(run_id, "stg_bets", "up_for_retry")
    cluster.client.mark(run_id, "stg_bets", "success")
    ends_well(cluster, "a node marked success by hand", run_id, undisturbed)
    broken.unlink()
    assert cluster.tries(run_id)["fct_bets"] == 1


def test_a_waiting_task_marked_as_failed_and_cleared_builds_anew(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    with cluster.gate("int_events") as gate:
        run_id = cluster.trigger()
        cluster.wait_for(run_id, "int_events", "deferred")
        cluster.client.mark(run_id, "int_events", "failed")
        gate.open()
        # dbt goes on and builds the node and all below it.
        assert cluster.end(run_id)[0] == "failed"
    assert cluster.states(run_id)["events_history"] == "upstream_failed"
    cluster.client.clear(run_id, "int_events")
    ends_well(cluster, "a node marked failed, then cleared", run_id, undisturbed)
    attempt = cluster.tries(run_id)["int_events"]
    assert "OK created sql table model marts.int_events" in cluster.log(
        run_id, "int_events", attempt
    )
    assert "snapshotted marts_snapshots.events_history" in cluster.log(
        run_id, "events_history", cluster.tries(run_id)["events_history"]
    )


def test_a_cleared_node_runs_again_with_what_hangs_on_it(
    cluster: Cluster, first_run: str, undisturbed: dict[str, Any]
) -> None:
    run_id = first_run
    before = cluster.tries(run_id)
    cluster.client.clear(run_id, "int_events")
    ends_well(cluster, "a node cleared with downstream", run_id, undisturbed)
    tries = cluster.tries(run_id)
    assert {task for task in NODES if tries[task] > before[task]} == BELOW_EVENTS
    assert tries[PRODUCER] == 1
    assert "OK created sql table model marts.int_events" in cluster.log(run_id, "int_events", 2)

    cluster.client.clear(run_id, PRODUCER)
    ends_well(cluster, "the producer cleared in a green run", run_id, undisturbed)
    assert "Still to build: 0 of 7 nodes" in cluster.log(run_id, PRODUCER, 2)
    assert {task: cluster.tries(run_id)[task] for task in NODES} == {
        task: tries[task] for task in NODES
    }


@pytest.mark.parametrize("triggerer", ["up", "down"])
def test_a_deploy_that_renames_a_waiting_model(
    cluster: Cluster, undisturbed: dict[str, Any], triggerer: str
) -> None:
    marts = cluster.checkout.root / "dbt" / "models" / "marts"
    project = cluster.checkout.root / "dbt" / "models" / "project.yml"
    good = project.read_text()
    with cluster.gate("fct_bets") as gate:
        run_id = cluster.trigger()
        cluster.wait_for(run_id, "fct_bets", "deferred")
        if triggerer == "down":
            cluster.kill("triggerer")
        (marts / "fct_bets.sql").rename(marts / "fct_wagers.sql")
        project.write_text(good.replace("fct_bets", "fct_wagers"))
        assert cluster.checkout.run_dbt("include.manifest").returncode == 0
        cluster.reparse()
        cluster.until("the new task", lambda: "fct_wagers" in cluster.states(run_id))
        cluster.until("the old is gone", lambda: cluster.states(run_id)["fct_bets"] == "removed")
        gate.open()
        if triggerer == "down":
            cluster.start("triggerer")
        state, states = cluster.end(run_id)
    found = cluster.marts()
    wagers = found.pop("fct_wagers", None)
    print_case(
        f"a deploy renames a model, triggerer {triggerer}", state, states, found == undisturbed
    )
    assert state == "success"
    assert {task: found for task, found in states.items() if found != "success"} == {
        "fct_bets": "removed"
    }
    assert wagers == undisturbed["fct_bets"]
    assert cluster.processes["triggerer"].poll() is None

    (marts / "fct_wagers.sql").rename(marts / "fct_bets.sql")
    project.write_text(good)
    assert cluster.checkout.run_dbt("include.manifest").returncode == 0
    cluster.reparse()
    cluster.until(
        "the old DAG is back",
        lambda: cluster.client.get("/dags/game_analytics/tasks/fct_bets"),
    )
