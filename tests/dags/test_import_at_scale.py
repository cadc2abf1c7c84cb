"""The import of the DAG with 1,000 models: its time, and that it starts and connects nothing."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include import manifest
from include.settings import ROOT, Settings

MODELS = 1_000
PROGRAM = """
import os, resource, runpy, socket, subprocess, sys, time
import airflow.sdk, cosmos.converter, cosmos.operators.local
# Airflow imports croniter for a cron schedule. At import, croniter starts the program `file`.
import croniter
from airflow.providers.standard.operators.empty import EmptyOperator

def refuse(*given, **_):
    raise AssertionError(f"the import of the DAG made a forbidden call with {given}")

for owner, names in (
    (socket.socket, ("connect", "connect_ex", "bind", "sendto")),
    (socket, ("create_connection", "getaddrinfo")),
    (subprocess, ("Popen", "run")),
    (os, ("system", "fork", "posix_spawn", "execv", "popen")),
):
    for name in names:
        setattr(owner, name, refuse)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.monotonic()
dag = runpy.run_path(sys.argv[1])["done"].dag
seconds = time.monotonic() - began
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(dag.tasks), seconds, before // 1024, after // 1024)
"""
LIMIT_SECONDS = 20


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package whose manifest has `MODELS` nodes."""
    if not (ROOT / ".venv/dbt/.installed").exists():
        pytest.skip("dbt's environment is not installed, so no manifest can be made")
    manifest.make(Settings.from_env({}))
    content: dict[str, Any] = json.loads((ROOT / "dbt/target/manifest.json").read_text())
    (test, *_) = (
        node
        for node in content["nodes"].values()
        if node["resource_type"] == "test"
        and node["depends_on"]["nodes"] == ["model.game_analytics.fct_sessions"]
    )
    model = content["nodes"]["model.game_analytics.fct_sessions"]
    for number in range(MODELS - len(content["nodes"])):
        made, tested = copy.deepcopy(model), copy.deepcopy(test)
        name = f"copy_{number}"
        unique_id = f"model.game_analytics.{name}"
        made |= {"name": name, "alias": name, "unique_id": unique_id}
        made["fqn"] = [*model["fqn"][:-1], name]
        # Each model reads the one that is a tenth of MODELS before it: a graph of ten layers.
        above = number - MODELS // 10
        if above >= 0:
            made["depends_on"] = {"nodes": [f"model.game_analytics.copy_{above}"], "macros": []}
        content["nodes"][unique_id] = made
        tested |= {"name": f"test_{name}", "unique_id": f"test.game_analytics.{name}.0"}
        tested["depends_on"] = {"nodes": [unique_id], "macros": []}
        content["nodes"][tested["unique_id"]] = tested
    for folder in ("dags", "include", "plugins"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    (tmp_path / "dbt" / "target").mkdir(parents=True)
    (tmp_path / "dbt" / "models").mkdir()
    shutil.copy(ROOT / "dbt" / "profiles.yml", tmp_path / "dbt")
    shutil.copy(ROOT / "dbt" / "dbt_project.yml", tmp_path / "dbt")
    (tmp_path / "dbt" / "target" / "manifest.json").write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize("execution", ["watcher", "local"])
def test_the_import_with_a_thousand_models_is_fast_and_starts_nothing(
    package: Path, execution: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(package / "dags" / "game_analytics.py")],
        cwd=package,
        env={
            **os.environ,
            "PYTHONPATH": f"{package}:{package / 'plugins'}",
            "GAME_ANALYTICS_EXECUTION": execution,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    tasks, seconds, before, after = ran.stdout.splitlines()[-1].split()
    print(
        f"\n{execution}: {tasks} tasks in {float(seconds):.2f} s beyond Airflow and Cosmos, "
        f"{before} MB before, {after} MB after"
    )
    # The other nodes are the project's tests, which have no tasks of their own.
    assert int(tasks) > MODELS * 0.7
    assert float(seconds) < LIMIT_SECONDS
