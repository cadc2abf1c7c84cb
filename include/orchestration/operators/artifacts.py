"""Keeps what dbt leaves behind in a task: its results and compiled SQL."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from airflow.configuration import AIRFLOW_HOME

from include.manifest import described
from include.messages import file_name

ARTIFACTS = Path(AIRFLOW_HOME) / "artifacts"
"""`<run>/<task>/` has dbt's run_results.json and the compiled SQL of the task's last try."""


def artifacts_of(context: Any) -> Path:
    """Return the folder of a task instance's artifacts."""
    return ARTIFACTS / file_name(context["run_id"]) / file_name(context["ti"].task_id)


def sql_file(folder: Path, unique_id: str) -> Path:
    """Return the file of a node's compiled SQL.

    The name is cut, because a test's name can be longer than the file system allows.
    """
    return folder / f"{file_name(described(unique_id)[1])[:150]}.sql"


def keep_artifacts(project_dir: str, context: Any, **_: Any) -> None:
    """Copy dbt's results and compiled SQL out of Cosmos's temporary copy of the project.

    Cosmos calls this after dbt has ended and before it checks whether dbt failed.
    """
    folder = artifacts_of(context)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run_results = Path(project_dir) / "target" / "run_results.json"
    if run_results.is_file():
        shutil.copy(run_results, folder)
        for result in json.loads(run_results.read_bytes())["results"]:
            if result.get("compiled_code"):
                sql_file(folder, result["unique_id"]).write_text(result["compiled_code"])
