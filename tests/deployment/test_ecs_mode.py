"""The whole DAG with `EXECUTION=ecs`: a real container for each of its nodes.

It takes minutes, and tests nothing of the marts that a run of `fargate` does not: it runs only with
the variable `ECS_MODE=1`, as the README says.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.manifest import BUILT_TYPES
from include.orchestration.watcher.nodes import PRODUCER
from tests.deployment.deployment import CANARY, Deployment
from tests.support.checkout import STEPS, states

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("ECS_MODE"), reason="takes minutes: only with ECS_MODE=1"
    ),
    pytest.mark.timeout(4000),
]
SECONDS = 3600
"""For 40 containers on a machine that has something else to do, too."""
CONFLICT = "rpt_ltv_overall"
"""The model whose first statement meets another transaction."""


def test_every_node_builds_in_a_container_of_its_own(deployment: Deployment) -> None:
    deployment.cluster.inject(f"/{CONFLICT}$", "serializable_conflict")
    patient = replace(deployment.checkout, execution="ecs", seconds=SECONDS)
    ended = patient.run("include.laptop.run", **deployment.settings)
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0
    manifest = json.loads((deployment.checkout.root / "dbt/target/manifest.json").read_text())
    nodes = {
        node["name"] for node in manifest["nodes"].values() if node["resource_type"] in BUILT_TYPES
    }
    tasks = (nodes | STEPS | {"unlock"}) - {PRODUCER}
    found = states(ended.stdout, tasks)
    assert found.pop(CONFLICT) == ["up_for_retry", "success"]
    assert found == {task: ["success"] for task in tasks - {CONFLICT}}

    commands = [
        task["overrides"]["containerOverrides"][0]["command"]
        for task in deployment.tasks("make_run__")
    ]
    # A node's container builds it and nothing else; the tests that span nodes share one.
    selected = Counter(
        command[command.index("--select") + 1].split(".")[-1]
        for command in commands
        if command[:2] == ["dbt", "build"]
    )
    assert selected == Counter(nodes) + Counter({CONFLICT: 1})
    assert [command[:2] for command in commands if command[1] != "build"] == [["dbt", "test"]]
    compared = deployment.compared()
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "marts.rpt_daily_kpis" in compared.stdout


def test_no_log_of_it_has_the_password(deployment: Deployment) -> None:
    told = json.dumps(deployment.tasks(""), default=str) + deployment.log()
    assert CONFLICT in told
    assert CANARY not in told
    for name, content in deployment.objects("").items():
        assert CANARY.encode() not in content, name
    for path in (deployment.checkout.root / ".airflow/logs").rglob("*.log"):
        assert CANARY.encode() not in path.read_bytes(), path
