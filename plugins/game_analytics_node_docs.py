"""The page of a node in a run: what the manifest says about it, and what the run has found.

All of it comes from the files below DOCS. The page is there before the run is published, because an
on-call engineer opens it from a red task while the run goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from game_analytics_docs import Docs
from game_analytics_triggers import file_name
from jinja2 import Environment
from markupsafe import Markup, escape

DAG = "game_analytics"
INDEX = "index.html"
PRODUCERS = ("dbt_build", "build")
"""The folders of the processes that build all nodes of a run, in Airflow and in Step Functions."""
NODE_TYPES = frozenset({"model", "seed", "snapshot"})
STATUSES = {
    "pass": "success",
    "no-op": "success",
    "runtime error": "error",
    "partial success": "error",
}
"""dbt's statuses under the names that all pages use; others have those names. They are a copy of
`STATUSES` of `include/site/run_artifacts.py`, because this file cannot import it."""
PUBLICATION = re.compile(r"runs/[^/.][^/]*/site/[^/.][^/]*/")
"""The folder of a publication, with a slash at its end."""

ENVIRONMENT = Environment(autoescape=True)
ENVIRONMENT.filters["prose"] = lambda text: Markup(  # noqa: S704 - the text is escaped
    re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
)
TEMPLATE = ENVIRONMENT.from_string("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ node.name }}</title>
<style>
  :root { color-scheme: light dark; --line: #dfe4ea; --raised: #fff; --quiet: #526071;
          --page: #f6f7f9; --ink: #17202c; --link: #2257c9; --good: #11713f; --warn: #7a5200;
          --bad: #b3261e }
  @media (prefers-color-scheme: dark) {
    :root { --line: #2c3643; --raised: #171e27; --quiet: #9dabbb; --page: #0f141a;
            --ink: #e7ecf2; --link: #8ab0ff; --good: #5fd092; --warn: #f0c467; --bad: #ff8f86 } }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 0 auto;
         padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--ink) }
  h1 { margin: 0; font-size: 1.6rem; overflow-wrap: anywhere }
  h2 { margin: 2.25rem 0 .75rem; font-size: 1.15rem }
  a { color: var(--link) }
  .quiet { color: var(--quiet); margin: 0 }
  .links { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.25rem 0; padding: 0;
           list-style: none }
  .links a { display: block; padding: .5rem 1rem; border: 1px solid var(--line); font-weight: 600;
             border-radius: .5rem; background: var(--raised); text-decoration: none }
  dl { display: grid; grid-template-columns: 8rem 1fr; gap: .5rem 1.5rem; margin: 1.25rem 0 }
  dt { color: var(--quiet) } dd { margin: 0; min-width: 0; overflow-wrap: anywhere }
  .wide { overflow-x: auto }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; vertical-align: top; padding: .45rem 1rem .45rem 0;
           border-bottom: 1px solid var(--line) }
  th { color: var(--quiet); font-size: .85rem }
  .status { font-weight: 600; white-space: nowrap }
  .success { color: var(--good) } .warn { color: var(--warn) } .fail, .error { color: var(--bad) }
  .skipped, .none { color: var(--quiet) }
  .message { white-space: pre-line; overflow-wrap: anywhere; min-width: 12rem }
  pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); border-radius: .5rem;
        background: var(--raised) }
  code, pre { font: .85rem/1.5 ui-monospace, monospace }
  @media (max-width: 600px) {
    body { padding: 1.25rem .9rem 3rem }
    dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .75rem }
    thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
    tr, td { display: block } td { padding: .1rem 0; border: 0; overflow-wrap: anywhere }
    td:empty { display: none }
    tr { padding: .5rem 0; border-bottom: 1px solid var(--line) } }
</style>
</head>
<body>
<main>
<p class="quiet">{{ node.resource_type }} of <a href="/dags/{{ dag_id }}">{{ dag_id }}</a>,
  run {{ run_id }}</p>
<h1>{{ node.name }}</h1>
<p>{{ (node.description or "No description.") | prose }}</p>
{% if links -%}
<ul class="links">
{% for title, address in links %}<li><a href="{{ address }}">{{ title }}</a></li>
{% endfor %}</ul>
{%- endif %}
<dl>
  <dt>Result</dt><dd><span class="status {{ result.status }}">{{ result.status }}</span>
  {%- if result.seconds is not none %}, {{ "%.2f" | format(result.seconds) }} s{% endif %}
  {%- if result.rows is not none %}, {{ "{:,}".format(result.rows) }} rows{% endif %}
  {%- if result.message %}<div class="message">{{ result.message }}</div>{% endif %}</dd>
  <dt>Owner</dt><dd>{{ owner or "none" }}</dd>
  <dt>File</dt><dd><code>dbt/{{ node.original_file_path }}</code></dd>
  <dt>Table</dt><dd><code>{{ node.schema }}.{{ node.alias or node.name }}</code>,
    {{ node.config.materialized }}</dd>
  <dt>Reads</dt><dd>{{ parents | join(", ") or "nothing" }}</dd>
  <dt>When it is red</dt><dd>After a failed test there is no retry, and the table stays although
    the test failed. An error was tried three times. The end of the task's log names what failed,
    the file to repair, the SQL and the rows. Repair it, then clear the task with its downstream.
    Responsible: {{ owner or "the owner of the DAG" }}.</dd>
</dl>
<h2>Tests</h2>
{% if tests -%}
<div class="wide"><table>
<thead><tr><th>Test</th><th>Result</th><th>Message</th></tr></thead><tbody>
{% for name, test in tests -%}
<tr><td>{{ name }}</td><td><span class="status {{ test.status }}">{{ test.status }}</span></td>
  <td class="message">{{ test.message }}</td></tr>
{% endfor %}</tbody></table></div>
{%- else %}<p>The node has no tests.</p>{% endif %}
{% if node.columns %}
<h2>Columns</h2>
<div class="wide"><table>
<thead><tr><th>Name</th><th>Type</th><th>Definition</th></tr></thead><tbody>
{% for column in node.columns.values() -%}
<tr><td><code>{{ column.name }}</code></td><td>{{ column.data_type or "" }}</td>
  <td>{{ column.description | prose }}</td></tr>
{% endfor %}</tbody></table></div>
{% endif %}
<h2>SQL of run {{ run_id }}</h2>
{% if sql %}<pre>{{ sql }}</pre>
{% else %}<p>DOCS has no SQL of the node in this run: the run has not built the node, or the task
  has not ended yet. The model as it is written:</p><pre>{{ node.raw_code or "" }}</pre>
{% endif %}</main>
</body>
</html>
""")


class NotFoundError(Exception):
    """DOCS has no such node; the text says what is missing."""


def node_page(store: Docs, run_id: str, task_id: str, site: str) -> str:
    """Return the page of the node that a task builds; raises NotFoundError if there is none.

    `site` is the address at which the API server serves DOCS.
    """
    folder = publication(store, run_id)
    manifest = _manifest(store, run_id, folder)
    nodes = manifest.get("nodes", {})
    found = [
        node
        for node in nodes.values()
        if _task_id(node) == task_id and node["resource_type"] in NODE_TYPES
    ]
    if not found:
        raise NotFoundError(f"The dbt project has no model, seed or snapshot {task_id}.")
    (node,) = found
    results = _results(store, run_id, task_id, folder, node["unique_id"])
    tests = [
        (other["name"], shown(results.get(other["unique_id"])))
        for other in nodes.values()
        if other["resource_type"] == "test" and node["unique_id"] in _parents(other)
    ]
    own = results.get(node["unique_id"])
    sql = (own or {}).get("compiled_code") or (node.get("compiled_code") if folder else "")
    return TEMPLATE.render(
        dag_id=DAG,
        run_id=run_id,
        node=node,
        result=shown(own),
        owner=_owner(manifest, node),
        parents=[unique_id.split(".", 2)[2] for unique_id in _parents(node)],
        tests=sorted(tests, key=lambda test: str(test[0])),
        links=_links(store, run_id, f"{site}/{quote(folder)}", node) if folder else [],
        sql=sql,
    )


def _links(
    store: Docs, run_id: str, address: str, node: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return the pages of the run that show the node, with their addresses."""
    pages = read_json(store, f"runs/{file_name(run_id)}/run.json").get("pages", ())
    name = file_name(node["unique_id"])
    known = [
        ("Catalog entry", "catalog.html", f"catalog/{name}.html"),
        ("Lineage", "lineage.html", f"lineage.html#{name}"),
    ]
    found = [(title, f"{address}/{place}") for title, page, place in known if page in pages]
    return [*found, ("This run", f"{address}/{INDEX}")]


def latest_publication(store: Docs) -> str:
    """Return the folder of the latest publication, from the index of runs; empty without one."""
    index = store.open(INDEX)
    text = index.read().decode(errors="replace") if index else ""
    found = re.search(r'<meta name="latest" content="([^"]+)">', text)
    return found[1] if found and PUBLICATION.fullmatch(f"{found[1]}/") else ""


def publication(store: Docs, run_id: str) -> str:
    """Return the folder of a run's publication; empty if the run is not published."""
    root = f"runs/{file_name(run_id)}"
    found = store.open(f"{root}/run.json")
    if found is None:
        return ""
    try:
        folder = f"{root}/{json.loads(found.read())['publication']}"
    except (ValueError, KeyError, TypeError):
        return ""
    return folder if PUBLICATION.fullmatch(f"{folder}/") else ""


def shown(result: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a page shows of a result of dbt; None stands for a node without a result."""
    if result is None:
        return {"status": "none", "seconds": None, "rows": None, "message": "No result yet."}
    status = STATUSES.get(result["status"], result["status"])
    rows = (result.get("adapter_response") or {}).get("rows_affected")
    return {
        "status": status,
        "seconds": float(result.get("execution_time") or 0),
        "rows": int(rows) if rows is not None and int(rows) >= 0 else None,
        "message": "" if status == "success" else result.get("message") or "",
    }


def _results(
    store: Docs, run_id: str, task_id: str, folder: str, unique_id: str
) -> dict[str, Mapping[str, Any]]:
    """Return the last result of each node and test, by unique id.

    They are in the publication, and in what the task itself and the producer have written since.
    The events are read only if these files have no result of the node `unique_id`.
    """
    root = f"runs/{file_name(run_id)}"
    places = [f"{root}/{file_name(task_id)}/", *(f"{root}/{name}/" for name in PRODUCERS)]
    names = [name for place in places for name in store.names(place)]
    wanted = [name for name in names if name.endswith("/run_results.json")]
    if folder:
        wanted.append(f"{folder}/run_results.json")
    last: dict[str, Mapping[str, Any]] = {}
    for name in wanted:
        for result in read_json(store, name).get("results", ()):
            before = last.get(result["unique_id"])
            if before is None or _ended_at(result) >= _ended_at(before):
                last[result["unique_id"]] = result
    if unique_id in last:
        return last
    # dbt writes `run_results.json` at its end. Until then the events have the results of the nodes
    # that have ended.
    events = [name for name in names if "/events/" in name and name.endswith(".jsonl")]
    for result in _from_events(store, events):
        last.setdefault(result["unique_id"], result)
    return last


def _from_events(store: Docs, names: Iterable[str]) -> list[dict[str, Any]]:
    found = []
    for name in names:
        content = store.open(name)
        for line in content.read().splitlines() if content else ():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            problems = {problem["unique_id"]: problem for problem in event.get("problems", ())}
            for unique_id in {event["unique_id"], *problems}:
                problem = problems.get(unique_id, {})
                is_node = unique_id == event["unique_id"]
                found.append(
                    {
                        "unique_id": unique_id,
                        "status": problem.get("status", "success"),
                        "message": problem.get("message"),
                        "compiled_code": problem.get("sql"),
                        "execution_time": event.get("seconds") if is_node else 0,
                        "adapter_response": {
                            "rows_affected": event.get("rows") if is_node else None
                        },
                    }
                )
    return found


def _ended_at(result: Mapping[str, Any]) -> str:
    times = [step.get("completed_at") or "" for step in result.get("timing") or ()]
    return max(times, default="")


def _manifest(store: Docs, run_id: str, folder: str) -> Mapping[str, Any]:
    """Return the manifest of a run, else of the run that was published last."""
    root = f"runs/{file_name(run_id)}"
    names = [f"{folder}/manifest.json"] if folder else []
    names += [f"{root}/freshness/manifest.json"]
    for name in names:
        if found := _read_manifest(store, name):
            return found
    for producer in PRODUCERS:
        for name in reversed(store.names(f"{root}/{producer}/")):
            if name.endswith("/manifest.json") and (found := _read_manifest(store, name)):
                return found
    last = latest_publication(store)
    if last and (found := _read_manifest(store, f"{last}/manifest.json")):
        return found
    raise NotFoundError("DOCS has no manifest yet: the task freshness of a run writes it.")


def read_json(store: Docs, name: str) -> Mapping[str, Any]:
    """Return the content of a JSON file; empty if there is no such file, or if it is damaged."""
    found = store.open(name)
    return _parsed(found.read()) if found else {}


def _read_manifest(store: Docs, name: str) -> Mapping[str, Any]:
    """Return a manifest. The last ones stay parsed, because they are large and seldom change."""
    found = store.open(name)
    return _parsed_manifest(found.read()) if found else {}


@lru_cache(maxsize=4)
def _parsed_manifest(content: bytes) -> Mapping[str, Any]:
    return _parsed(content)


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


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
