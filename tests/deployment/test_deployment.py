"""What the README deploys, deployed and run: stacks, image, state machine, DAG on Fargate, marts.

One account for all tests of the file; they go in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.manifest import BUILT_TYPES
from tests.containers.engine import Engine
from tests.deployment.deployment import CANARY, Deployment
from tests.pipeline.checkout import states
from tests.pipeline.test_real_run import STEPS
from tests.redshift.test_redshift_dag import BACKEND, SECRETS


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, engine: Engine
) -> Iterator[Deployment]:
    with Deployment.make(tmp_path_factory.mktemp("account"), engine) as deployment:
        yield deployment


def test_an_execution_builds_everything(deployment: Deployment) -> None:
    ended = deployment.execute("nightly-1")
    print(deployment.log())
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    told = deployment.objects("runs/nightly-1/build/")
    result = json.loads(told["result.json"])
    assert result["status"] == "success"
    assert result["exit_code"] == 0
    nodes = json.loads(told["manifest.json"])["nodes"].values()
    built = {node["unique_id"] for node in nodes if node["resource_type"] in BUILT_TYPES}
    events = [
        json.loads(line)
        for name in sorted(told)
        if name.startswith("events/")
        for line in told[name].splitlines()
    ]
    assert {event["unique_id"] for event in events} == built | {"cross_model_tests"}
    ran = {entry["unique_id"] for entry in json.loads(told["run_results.json"])["results"]}
    assert built <= ran
    assert "compiled/game_analytics/models/marts/ltv/rpt_ltv.sql" in told
    assert json.loads(told["catalog.json"])["nodes"]
    assert json.loads(told["sources.json"])["results"]
    assert told["dbt.log"]
