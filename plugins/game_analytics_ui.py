"""A page for each node in Airflow's UI: description, owner, remedy for a red task, SQL of a run.

The link *Model and SQL* of a node's task leads to the page. The API server builds it from files on
its own disk: the project's manifest, and the artifacts below Airflow's home. The artifacts are
there only if workers and API server share a host.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.configuration import AIRFLOW_HOME, conf
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from game_analytics_triggers import PAGES, file_name
from jinja2 import Environment

DAG = "game_analytics"
PRODUCER = "dbt_build"
TEMPLATE = Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ node.name }}</title>
<style>
  :root { color-scheme: light dark }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
         padding: 0 1rem }
  h1 { margin: 0 } h2 { margin: 2rem 0 .5rem; font-size: 1.1rem }
  .kind { opacity: .7 }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem }
  dt { opacity: .7 } dd { margin: 0; min-width: 0; overflow-wrap: anywhere }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
           border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent) }
  pre { overflow-x: auto; padding: 1rem; border-radius: .4rem;
        background: color-mix(in srgb, currentColor 7%, transparent) }
  code, pre { font: .85rem/1.45 ui-monospace, monospace }
</style>
<p class="kind">{{ node.resource_type }} of <a href="/dags/{{ dag_id }}">{{ dag_id }}</a></p>
<h1>{{ node.name }}</h1>
<p>{{ node.description or "No description." }}</p>
<dl>
  <dt>Owner</dt><dd>{{ owner or "none" }}</dd>
  <dt>File</dt><dd><code>dbt/{{ node.original_file_path }}</code></dd>
  <dt>Table</dt><dd><code>{{ node.schema }}.{{ node.alias or node.name }}</code>,
    {{ node.config.materialized }}</dd>
  <dt>Reads</dt><dd>{{ parents | join(", ") or "nothing" }}</dd>
  <dt>Tests</dt><dd>{{ tests | join(", ") or "none" }}</dd>
  <dt>When it is red</dt><dd>After a failed test there is no retry, and the table stays although
    the test failed. An error was tried three times. The end of the task's log names what failed,
    the file to repair, the SQL and the rows. Repair it, then clear the task with its downstream.
    Responsible: {{ owner or "the owner of the DAG" }}.</dd>
</dl>
{% if node.columns %}
<h2>Columns</h2>
<table><tr><th>Name</th><th>Type</th><th>Definition</th></tr>
{% for column in node.columns.values() -%}
<tr><td><code>{{ column.name }}</code></td><td>{{ column.data_type or "" }}</td>
  <td>{{ column.description }}</td></tr>
{% endfor %}</table>
{% endif %}
<h2>SQL of run {{ run_id }}</h2>
{% if sql %}<pre>{{ sql }}</pre>
{% else %}<p>There is no SQL of this run on this host: the run has not built the node, or it ran on
  another host. The model as it is written:</p><pre>{{ node.raw_code or "" }}</pre>
{% endif %}</html>
""")

app = FastAPI(title="Game analytics")


@app.get(
    "/{dag_id}/{run_id}/{task_id}",
    response_class=HTMLResponse,
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))],
)
def node_page(dag_id: str, run_id: str, task_id: str) -> str:
    """The page of a node in a run, for users who may read the DAG's tasks."""
    # Airflow checks the permission for the DAG id in the address, so it must be this DAG's.
    if dag_id != DAG:
        raise HTTPException(404, f"Only the tasks of DAG {DAG} have such pages.")
    manifest = _manifest()
    nodes = manifest.get("nodes", {})
    found = [
        node
        for node in nodes.values()
        if _task_id(node) == task_id and node["resource_type"] in {"model", "seed", "snapshot"}
    ]
    if not found:
        raise HTTPException(404, f"The dbt project has no model, seed or snapshot {task_id}.")
    (node,) = found
    return TEMPLATE.render(
        dag_id=dag_id,
        run_id=run_id,
        node=node,
        owner=_owner(manifest, node),
        parents=[unique_id.split(".", 2)[2] for unique_id in _parents(node)],
        tests=[
            other["name"]
            for other in nodes.values()
            if other["resource_type"] == "test" and node["unique_id"] in _parents(other)
        ],
        sql=_sql(run_id, node),
    )


def _manifest() -> Mapping[str, Any]:
    dags = Path(conf.get("core", "dags_folder"))
    # On MWAA `dbt/` is in the DAG folder, in a checkout beside it.
    for folder in (dags, dags.parent):
        path = folder / "dbt" / "target" / "manifest.json"
        if path.is_file():
            return _read(path, path.stat().st_mtime_ns)
    raise HTTPException(404, f"There is no manifest of the dbt project in {dags} or beside it.")


@lru_cache(maxsize=1)
def _read(path: Path, _: int) -> Mapping[str, Any]:
    manifest: Mapping[str, Any] = json.loads(path.read_bytes())
    return manifest


def _parents(node: Mapping[str, Any]) -> list[str]:
    parents: list[str] = node.get("depends_on", {}).get("nodes", [])
    return parents


def _task_id(node: Mapping[str, Any]) -> str:
    """The task id of a node, which holds the version: `model.p.levels.v1` becomes `levels_v1`."""
    unique_id: str = node["unique_id"]
    return unique_id.split(".", 2)[2].replace(".", "_")


def _owner(manifest: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    for group in manifest.get("groups", {}).values():
        if group["name"] == node.get("config", {}).get("group"):
            owner = group.get("owner", {})
            return " ".join(str(owner[key]) for key in ("name", "email") if owner.get(key))
    return ""


def _sql(run_id: str, node: Mapping[str, Any]) -> str:
    """The SQL of the node in a run: the newest file of its own task or of the producer."""
    artifacts = Path(AIRFLOW_HOME) / "artifacts"
    run = artifacts / file_name(run_id)
    compiled = Path("compiled") / node["package_name"] / node["original_file_path"]
    name = file_name(_task_id(node))
    own = run / name / f"{name}.sql"
    found = [
        path
        for path in (own, run / PRODUCER / compiled)
        # A run id can be any text, so the path must not leave the folder.
        if path.resolve().is_relative_to(artifacts.resolve()) and path.is_file()
    ]
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return newest.read_text() if newest else ""


class GameAnalyticsPlugin(AirflowPlugin):
    """Registers the pages in Airflow's API server."""

    name = "game_analytics_ui"
    fastapi_apps = [{"app": app, "url_prefix": PAGES, "name": "Game analytics"}]  # noqa: RUF012
