"""Keeps what dbt leaves behind in a task, on this host for the task itself, in DOCS for all."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.configuration import AIRFLOW_HOME

from include.artifacts import artifacts_in, try_folder, write_files
from include.manifest import described
from include.messages import file_name
from include.object_store import open_documents
from include.settings import Settings, UserError

logger = logging.getLogger(__name__)

ARTIFACTS = Path(AIRFLOW_HOME) / "artifacts"
"""`<run>/<task>/` has dbt's run_results.json and the compiled SQL of the task's last try."""


def artifacts_of(context: Any) -> Path:
    """Return the folder of a task instance's artifacts."""
    return ARTIFACTS / file_name(context["run_id"]) / file_name(context["ti"].task_id)


def report_of(settings: Settings, ti: Any) -> str:
    """Return the folder or S3 prefix of the report of this try of a task, below DOCS."""
    return f"{settings.docs}/{try_folder(ti.run_id, ti.task_id, ti.try_number, ti.id)}"


def sql_file(folder: Path, unique_id: str) -> Path:
    """Return the file of a node's compiled SQL.

    The name is cut, because a test's name can be longer than the file system allows.
    """
    return folder / f"{file_name(described(unique_id)[1])[:150]}.sql"


def keep_artifacts(project_dir: str, context: Any, **_: Any) -> None:
    """Copy dbt's artifacts out of Cosmos's temporary copy of the project.

    The results and compiled SQL are kept on this host, and all artifacts but the manifest in DOCS:
    the task `freshness` has already written the manifest, which is the largest file. Cosmos calls
    this after dbt has ended and before it checks whether dbt failed.
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
    files = artifacts_in(Path(project_dir) / "target")
    files.pop("manifest.json", None)
    write_report(files, context["ti"])


def write_report(files: Mapping[str, Path], ti: Any) -> None:
    """Write the files of a try into DOCS; a failure is only logged, since the node is built."""
    try:
        settings = Settings.from_env(os.environ)
        documents = open_documents(report_of(settings, ti), settings.docs_owner)
        error = write_files(documents, files)
    except UserError as refused:
        error = str(refused)
    if error:
        logger.warning("The artifacts of this task are not published: %s", error)
