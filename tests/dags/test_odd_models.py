"""The DAG of a project with versions, dots and models named like a folder: one name per node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.manifest import STEPS, Manifest
from include.settings import ROOT
from tests.support.odd_project import TASK_IDS, write_project

PROGRAM = """
import json, runpy, sys
dag = runpy.run_path(sys.argv[1])["done"].dag
tasks = {task.task_id: task for task in dag.tasks}
nodes = {name: task for name, task in tasks.items() if hasattr(task, "model_file")}
print(json.dumps({
    "tasks": sorted(tasks),
    "selectors": {name: task.select for name, task in nodes.items()},
    "assets": {name: [a.uri for a in task.outlets] for name, task in nodes.items() if task.outlets},
    "recorded": tasks["record_partitions"].nodes,
    "tests": sorted(tasks["cross_model_tests"].sources),
}))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with that project and its manifest."""
    if not (ROOT / ".venv/dbt/.installed").exists():
        pytest.skip("dbt's environment is not installed, so no manifest can be made")
    root = tmp_path_factory.mktemp("package")
    for folder in ("dags", "include", "plugins"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
    write_project(root / "dbt")
    dbt = ROOT / ".venv" / "dbt" / "bin" / "dbt"
    made = python(root, dbt.with_name("python"), "-m", "include.manifest", DBT_EXECUTABLE=str(dbt))
    assert made.returncode == 0, made.stderr
    return root


def python(
    root: Path, program: Path | str, *words: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy of the package."""
    given = {f"GAME_ANALYTICS_{name}": value for name, value in settings.items()}
    return subprocess.run(
        [str(program), *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'plugins'}", **given},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module", params=["watcher", "local"])
def load(package: Path, request: pytest.FixtureRequest) -> Callable[[], dict[str, Any]]:
    def load() -> dict[str, Any]:
        words = ("-c", PROGRAM, str(package / "dags" / "game_analytics.py"))
        ran = python(package, sys.executable, *words, EXECUTION=request.param)
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
        return found

    return load


def test_task_ids_assets_and_recorded_nodes_are_the_manifest_s_names(
    package: Path, load: Callable[[], dict[str, Any]]
) -> None:
    manifest = Manifest.read(package / "dbt" / "target" / "manifest.json")
    found = load()
    names = set(TASK_IDS.values())
    assert {manifest.task_id(node) for node in manifest.built} == names
    assert set(found["tasks"]) - STEPS == names
    assert found["recorded"] == sorted(names)
    assert found["selectors"] == {
        manifest.task_id(node): manifest.selector(node) for node in manifest.built
    }
    assert found["tests"] == sorted(map(manifest.selector, manifest.tests_across()))
    marts = {name for node, name in TASK_IDS.items() if node.startswith("model.")} - {"spaced"}
    assert {name: uris for name, uris in found["assets"].items() if name in marts} == {
        name: [f"game-analytics://marts/{name}"] for name in marts
    }


def test_two_nodes_with_one_task_id_are_no_dag_but_one_sentence(package: Path) -> None:
    path = package / "dbt" / "target" / "manifest.json"
    text = path.read_text()
    content = json.loads(text)
    twin = "model.game_analytics.rpt_weekly"
    node = content["nodes"]["model.game_analytics.rpt.weekly"]
    content["nodes"][twin] = node | {"name": "rpt_weekly", "unique_id": twin}
    path.write_text(json.dumps(content))
    ran = python(package, sys.executable, "-c", PROGRAM, str(package / "dags/game_analytics.py"))
    path.write_text(text)
    assert ran.stderr.splitlines()[-1] == (
        "include.settings.UserError: model.game_analytics.rpt.weekly and "
        "model.game_analytics.rpt_weekly would share the Airflow task rpt_weekly: rename one."
    )
