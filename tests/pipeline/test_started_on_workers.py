"""Mode `watcher` where Airflow starts each node task on a worker, as Airflow 3.2 does.

The constant that says what Airflow can do is switched off in the checkout, so Airflow 3.3 takes the
same way. `tests/mwaa/other_airflow.py` runs the whole fault table under Airflow 3.2.1 itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from tests.pipeline.small_run import (
    BELOW_EVENTS,
    BUILD,
    MARTS,
    NODES,
    PRODUCER,
    ends_well,
    make_checkout,
)
from tests.support.airflow_cluster import Cluster

SWITCH = 'STARTS_IN_TRIGGERER = hasattr(BaseTrigger, "render_template_fields")'


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    checkout = make_checkout(tmp_path_factory.mktemp("checkout"))
    switched = checkout.root / "include" / "orchestration" / "watcher" / "older_airflow.py"
    text = switched.read_text()
    assert text.count(SWITCH) == 1
    switched.write_text(text.replace(SWITCH, "STARTS_IN_TRIGGERER = False"))
    with Cluster.up(checkout) as cluster:
        yield cluster
    assert checkout.left_running() == []


@pytest.fixture(scope="module")
def first_run(cluster: Cluster) -> str:
    run_id = cluster.trigger()
    state, states = cluster.end(run_id)
    assert (state, set(states.values())) == ("success", {"success"})
    return run_id


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, first_run: str) -> dict[str, Any]:
    """The marts after a run in which nothing goes wrong."""
    assert first_run
    return cluster.marts()


def test_a_node_starts_on_a_worker_and_ends_in_the_triggerer(
    cluster: Cluster, first_run: str, undisturbed: dict[str, Any]
) -> None:
    ends_well(cluster, "none", first_run, undisturbed)
    tasks = {task["task_id"]: task for task in cluster.client.tasks(first_run)}
    assert {tasks[task]["try_number"] for task in NODES} == {1}
    assert all(tasks[task]["hostname"] for task in NODES)
    # The producer emits the asset events, because no worker ends a node's task.
    assert cluster.asset_events(first_run) == MARTS
    for node in NODES - {"event_types", "events_history"}:
        log = cluster.log(first_run, node)
        # The worker deletes the node result that the producer has published before it starts.
        assert f"OK created sql table model marts.{node} " in log
        assert log.count("Running with dbt=") == 0
        path = f"/dags/game_analytics/dagRuns/{first_run}/taskInstances/{node}/links"
        links = cluster.client.get(path)["extra_links"]
        assert links == {"Model and SQL": f"/game-analytics/game_analytics/{first_run}/{node}"}


def test_a_broken_node_is_retried_and_the_rest_goes_on(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    broken = cluster.checkout.lake / "broken" / "stg_events"
    broken.parent.mkdir(exist_ok=True)
    broken.touch()
    run_id = cluster.trigger()
    cluster.wait_for(run_id, "stg_events", "up_for_retry")
    assert "stg_events is broken on purpose" in cluster.log(run_id, "stg_events")
    broken.unlink()
    ends_well(cluster, "a node errors once", run_id, undisturbed)
    tries = cluster.tries(run_id)
    assert {task: tries[task] for task in BELOW_EVENTS} == dict.fromkeys(BELOW_EVENTS, 1)
    assert (tries["stg_events"], tries[PRODUCER]) == (2, 1)
    cluster.client.clear(run_id, "int_events")
    ends_well(cluster, "and then a node cleared with downstream", run_id, undisturbed)
    assert {task: cluster.tries(run_id)[task] for task in BELOW_EVENTS} == dict.fromkeys(
        BELOW_EVENTS, 2
    )


def test_a_killed_producer_goes_on_where_it_was(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    with cluster.gate("int_events") as gate:
        run_id = cluster.trigger()
        (build,) = cluster.until("dbt runs", lambda: cluster.programs(BUILD))
        cluster.wait_for(run_id, "fct_bets", "success")
        build.kill()
        cluster.until("dbt is gone", lambda: not build.is_running())
        gate.open()
        ends_well(cluster, "producer killed during a node", run_id, undisturbed)
    tries = cluster.tries(run_id)
    assert {task: tries[task] for task in NODES} == dict.fromkeys(NODES, 1)
    assert tries[PRODUCER] == 2
    # The second try finds what the first one has built.
    log = cluster.log(run_id, PRODUCER, 2)
    assert "Still to build: 7 of 7" not in log
    assert cluster.asset_events(run_id) == MARTS
