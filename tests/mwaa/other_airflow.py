"""`python -m tests.mwaa.other_airflow 3.2.1`: run the DAG on another Airflow and compare the runs.

CI does not run this program, because it installs an environment and takes ten minutes or more. It
installs that version of Airflow with the `requirements.txt` of its package, under the constraints
of MWAA's image, into a temporary folder. Then it runs three steps on the sample, on the checkout's
own Airflow and on the other one, each through a real scheduler on SQLite:

1. a run that succeeds;
2. a run in which the node `fct_bets` has an error at each try;
3. `airflow tasks clear` of that node with its downstream, after the repair.

It prints what it measured and exits with 1 if the versions differ in the state of a run, in the
state or the tries of a task, in an asset event, in a link of a task, or in a row of a mart.
`--faults` also runs the fault table (`tests/pipeline/test_faults.py`) on the other version.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from include.command import command
from include.deployment.mwaa import versions
from include.settings import ROOT, UserError
from tests.mwaa.image import CONSTRAINTS, python_3_12
from tests.support.airflow_cluster import Cluster
from tests.support.checkout import Checkout

SAMPLE = ("--days", "30", "--players", "400", "--seed", "7", "--end", "2026-09-10")
BROKEN = "fct_bets"
ERROR = "\nintersect\nselect 'broken on purpose'\n"
"""It makes the model fail: the two sides of the set operation differ in their number of columns."""
TOOLS = ("pytest", "pytest-timeout")
"""The test tools that the modules of `tests/` import."""
CONTENTS = """
import collections, duckdb, json, sys
with duckdb.connect(sys.argv[1], read_only=True) as warehouse:
    tables = warehouse.execute(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema = 'marts' order by 1"
    ).fetchall()
    print(json.dumps({
        name: collections.Counter(
            map(repr, warehouse.execute(f"select * from {name}").fetchall())
        ) for name, in tables
    }))
"""
"""A program that prints each mart as a multiset of rows; Airflow's environment has no DuckDB."""


def install(airflow: str, folder: Path) -> Path:
    """Install a version of Airflow into a folder; returns its Python.

    A version without a lock gets the packages of the default version, under its constraints.
    """
    uv = str(ROOT / ".venv" / "uv" / "bin" / "uv")
    environ = os.environ | {"UV_CACHE_DIR": str(ROOT / ".venv" / "cache"), "UV_SYSTEM_CERTS": "1"}
    constraints = [CONSTRAINTS / "airflow_constraints.txt"]
    if airflow in versions.supported():
        text = versions.requirements(airflow)
        if airflow != versions.DEFAULT:
            constraints = sorted((CONSTRAINTS / airflow).glob("*.txt"))
            if not constraints:
                raise UserError(f"{CONSTRAINTS / airflow} has no constraint file of MWAA's image.")
    else:
        pin = "apache-airflow=="
        text = versions.requirements(versions.DEFAULT)
        text = text.replace(f"{pin}{versions.DEFAULT}", f"{pin}{airflow}")
    (folder / "requirements.txt").write_text(text)
    python = folder / "environment" / "bin" / "python"
    for arguments in (
        ["venv", "--python", str(python_3_12()), str(python.parent.parent)],
        [
            *("pip", "install", "--python", str(python), "--compile-bytecode"),
            *(word for path in constraints for word in ("--constraint", str(path))),
            *("--requirement", str(folder / "requirements.txt"), *TOOLS),
        ],
    ):
        subprocess.run([uv, "--quiet", *arguments], env=environ, check=True)
    return python


def record(folder: Path, *, only_first: bool) -> None:
    """Run the steps in this process's Airflow; writes what was seen to `record.json`."""
    checkout = Checkout.make(folder / "checkout")
    output = shutil.ignore_patterns("target", "logs")
    shutil.copytree(ROOT / "dbt", checkout.root / "dbt", ignore=output)
    (checkout.root / "contents.py").write_text(CONTENTS)
    for arguments in (["include.lake", "generate", *SAMPLE], ["include.manifest"]):
        made = checkout.run_dbt(*arguments)
        assert made.returncode == 0, made.stderr
    (model,) = (checkout.root / "dbt").rglob(f"{BROKEN}.sql")
    good = model.read_text()
    steps: dict[str, Any] = {}
    with Cluster.up(checkout) as cluster:
        cluster.until("the API lists the tasks", lambda: cluster.client.get("/version"))
        began = time.monotonic()
        first = cluster.trigger()
        steps["success"] = ended(cluster, first, began)
        if not only_first:
            change(checkout, model, good + ERROR)
            began = time.monotonic()
            second = cluster.trigger()
            steps["error"] = ended(cluster, second, began)
            change(checkout, model, good)
            began = time.monotonic()
            clear(cluster)
            cluster.until("the run continues", lambda: cluster.client.run_state(second) != "failed")
            steps["clear"] = ended(cluster, second, began)
    assert checkout.left_running() == []
    (folder / "record.json").write_text(json.dumps(steps))


def change(checkout: Checkout, model: Path, text: str) -> None:
    """Write a model and make the manifest again."""
    model.write_text(text)
    made = checkout.run_dbt("include.manifest")
    assert made.returncode == 0, made.stderr


def clear(cluster: Cluster) -> None:
    """Clear the broken node with its downstream, with Airflow's command line."""
    subprocess.run(
        [
            *(sys.executable, "-m", "airflow", "tasks", "clear", "game_analytics"),
            *("--task-regex", BROKEN, "--downstream", "--only-failed", "--yes"),
        ],
        cwd=cluster.checkout.root,
        env=cluster.environment,
        check=True,
        capture_output=True,
    )


def ended(cluster: Cluster, run_id: str, began: float) -> dict[str, Any]:
    """Wait for the end of a run; returns what was seen, and what was measured since `began`."""
    state, _ = cluster.end(run_id)
    seconds = time.monotonic() - began
    tasks = cluster.client.tasks(run_id)
    path = f"/dags/game_analytics/dagRuns/{run_id}/taskInstances"
    links = {
        task["task_id"]: cluster.client.get(f"{path}/{task['task_id']}/links")["extra_links"]
        for task in tasks
    }
    printed = cluster.checkout.run_dbt(
        "contents", str(cluster.checkout.root / "data" / "warehouse.duckdb")
    )
    assert printed.returncode == 0, printed.stderr
    home = cluster.checkout.root / ".airflow" / "logs" / "dag_id=game_analytics"
    logs = [
        path.read_text(errors="replace")
        for path in (home / f"run_id={run_id}").rglob("attempt=*.log")
    ]
    return {
        "state": state,
        "tasks": {task["task_id"]: [task["state"], task["try_number"]] for task in tasks},
        "assets": cluster.asset_events(run_id),
        "links": links,
        "marts": json.loads(printed.stdout),
        "seconds": round(seconds, 1),
        # Each worker process parses the DAG once. dbt prints its version at each of its commands,
        # of which the producer's one process runs several.
        "workers": sum(log.count("Filling up the DagBag") for log in logs),
        "dbt": sum(log.count("Running with dbt=") for log in logs),
    }


def run_steps(python: Path, folder: Path, *, only_first: bool) -> dict[str, Any]:
    """Run the steps with a Python of an Airflow environment; returns what `record` has written."""
    folder.mkdir()
    subprocess.run(
        [
            *(str(python), "-m", "tests.mwaa.other_airflow", "--record", str(folder)),
            *(["--only-first"] if only_first else []),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
        check=True,
    )
    found: dict[str, Any] = json.loads((folder / "record.json").read_text())
    return found


def differences(ours: Any, other: Any, path: str = "") -> list[str]:
    """Return a line for each value that differs, except what is measured."""
    if isinstance(ours, dict) and isinstance(other, dict):
        names = sorted({*ours, *other} - {"seconds", "workers", "dbt"})
        return [
            line
            for name in names
            for line in differences(ours.get(name), other.get(name), f"{path}/{name}")
        ]
    return [] if ours == other else [f"{path}: {ours!r} and {other!r}"]


@command
def main() -> int:
    """Run the steps on both versions and print the comparison."""
    parser = argparse.ArgumentParser(prog="python -m tests.mwaa.other_airflow", description=__doc__)
    parser.add_argument("airflow", nargs="?", default="", help="The other version of Airflow.")
    parser.add_argument("--only-first", action="store_true", help="Run only the first step.")
    parser.add_argument("--faults", action="store_true", help="Run the fault table, too.")
    parser.add_argument("--record", type=Path, help="For this program itself: write the record.")
    options = parser.parse_args()
    if options.record:
        record(options.record, only_first=options.only_first)
        return 0
    with tempfile.TemporaryDirectory(prefix="other-airflow-") as name:
        folder = Path(name)
        began = time.monotonic()
        python = install(options.airflow, folder)
        print(
            f"installed Airflow {options.airflow} in {time.monotonic() - began:.0f} s", flush=True
        )
        records = {
            version: run_steps(interpreter, folder / version, only_first=options.only_first)
            for version, interpreter in (
                (versions.DEFAULT, Path(sys.executable)),
                (options.airflow, python),
            )
        }
        print("| step | Airflow | run | seconds | worker processes | commands of dbt |")
        for step in records[options.airflow]:
            for version, seen in records.items():
                figures = (seen[step][name] for name in ("state", "seconds", "workers", "dbt"))
                print(f"| {step} | {version} | {' | '.join(map(str, figures))} |")
        lines = differences(records[versions.DEFAULT], records[options.airflow])
        rows = sum(map(len, records[options.airflow]["success"]["marts"].values()))
        print("\n".join(line[:500] for line in lines) or f"no difference, {rows} rows of marts")
        failed = bool(lines)
        if options.faults:
            table = [str(python), "-m", "pytest", "-q", "-s", "tests/pipeline/test_faults.py"]
            ran = subprocess.run([*table, f"--basetemp={folder / 'faults'}"], cwd=ROOT, check=False)
            failed = failed or ran.returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
