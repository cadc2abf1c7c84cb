"""The whole DAG with `EXECUTION=ecs`, which starts a real container for each node.

It takes many minutes, and checks nothing about the marts that the test of mode `fargate` does not
check, so it runs only with the variable `ECS_MODE=1`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

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
"""The time limit for 40 containers on a machine that also runs other tests."""
CONFLICT = "rpt_ltv_overall"
"""The model whose first statement fails by a conflict with another transaction."""


def test_every_node_builds_in_a_container_of_its_own(deployment: Deployment) -> None:
    deployment.cluster.inject(f"/{CONFLICT}$", "serializable_conflict")
    checkout = replace(deployment.checkout, execution="ecs", seconds=SECONDS)
    ended = checkout.run("include.laptop.run", **deployment.settings)
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
    # The container of a node builds only this node. The cross-model tests share one container.
    selected = Counter(
        Path(command[command.index("--select") + 1].partition(",")[0]).stem
        for command in commands
        if command[:2] == ["dbt", "build"]
    )
    assert selected == Counter(nodes) + Counter({CONFLICT: 1})
    assert [command[:2] for command in commands if command[1] != "build"] == [["dbt", "test"]]
    compared = deployment.compared()
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "marts.rpt_daily_kpis" in compared.stdout


def test_no_log_has_the_password(deployment: Deployment) -> None:
    texts = json.dumps(deployment.tasks(""), default=str) + deployment.log()
    assert CONFLICT in texts
    assert CANARY not in texts
    for name, content in deployment.objects("").items():
        assert CANARY.encode() not in content, name
    for path in (deployment.checkout.root / ".airflow/logs").rglob("*.log"):
        assert CANARY.encode() not in path.read_bytes(), path
