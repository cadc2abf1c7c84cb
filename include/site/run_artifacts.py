"""Reads what the processes of a run have written below DOCS, and merges their results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from include.artifacts import UPLOADS, run_folder
from include.engine_text import without_values
from include.manifest import MANIFEST, described
from include.messages import EVENTS_FOLDER, NodeResult, file_name, from_json
from include.object_store import Documents

SITE = "site"
"""The folder of the publications, in the folder of a run."""
STATUSES = {
    "pass": "success",
    "no-op": "success",
    "runtime error": "error",
    "partial success": "error",
}
"""dbt's statuses under the names of `include.messages.Status`; all others have those names."""
FIRST_MANIFESTS = ("dbt_build/", "build/", "freshness/")
"""The folders whose manifest is preferred; the files of a node's own task come after them."""

Result = dict[str, Any]
"""A result as dbt writes it into `run_results.json`."""
NAME_LENGTH = 150
"""The length to which names of files are cut, because a test's name can be very long."""


@dataclass(frozen=True)
class RunArtifacts:
    """The artifacts of a run.

    `results` has the last result of each node and test, in dbt's form. `sources` are the results of
    `dbt source freshness`. `manifest` is empty if no process of the run has written it, and
    `catalog` also if dbt has built something since. `problems` names files that could not be read.
    """

    manifest: dict[str, Any] = field(default_factory=dict)
    catalog: dict[str, Any] = field(default_factory=dict)
    results: Sequence[Result] = ()
    sources: Sequence[Result] = ()
    problems: Sequence[str] = ()


def read_run(documents: Documents, run_id: str) -> RunArtifacts:
    """Read the artifacts of a run; raises UserError if DOCS cannot be read."""
    root = f"{run_folder(run_id)}/"
    names = [
        name
        for name in documents.names(root)
        if not name.removeprefix(root).startswith((f"{SITE}/", "compiled/"))
    ]
    problems: list[str] = []

    def read(name: str) -> tuple[str, bytes]:
        return name, documents.read(name) or b""

    def parsed(wanted: Iterable[str]) -> list[dict[str, Any]]:
        found = []
        with ThreadPoolExecutor(UPLOADS) as pool:
            for name, content in pool.map(read, wanted):
                try:
                    value = json.loads(content)
                except ValueError:
                    value = None
                if isinstance(value, dict):
                    found.append(value)
                else:
                    problems.append(f"{name} is damaged")
        return found

    runs = parsed(name for name in names if name.endswith("/run_results.json"))
    sources = parsed(name for name in names if name.endswith("/sources.json"))
    manifests = [name for name in names if name.endswith("/manifest.json")]
    manifests.sort(key=lambda name: _manifest_order(name.removeprefix(root)))
    manifest = parsed(manifests[:1])
    catalogs = parsed(name for name in names if name.endswith("/catalog.json"))
    events = [name for name in names if f"/{EVENTS_FOLDER}" in name and name.endswith(".jsonl")]
    with ThreadPoolExecutor(UPLOADS) as pool:
        lines = [line for _, text in pool.map(read, events) for line in text.splitlines()]
    return RunArtifacts(
        manifest=manifest[0] if manifest else {},
        catalog=_current_catalog(catalogs, runs),
        results=merged(runs, _node_results(lines, problems)),
        sources=[result for content in sources for result in content.get("results", ())],
        problems=tuple(problems),
    )


def _current_catalog(
    catalogs: Iterable[dict[str, Any]], runs: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the newest catalog if no dbt has ended after it; otherwise an empty dict."""
    newest = max(catalogs, key=_generated_at, default={})
    return newest if all(_generated_at(run) <= _generated_at(newest) for run in runs) else {}


def _generated_at(content: Mapping[str, Any]) -> str:
    """Return when dbt wrote an artifact: ISO 8601 in UTC, so that texts compare as times do."""
    return str(content.get("metadata", {}).get("generated_at", ""))


def merged(runs: Iterable[Mapping[str, Any]], events: Iterable[NodeResult] = ()) -> list[Result]:
    """Return the last result of each node and test, sorted by id, with the statuses of `Status`.

    `runs` are contents of `run_results.json`. `events` stand in for the nodes of a dbt that was
    killed before it wrote that file.
    """
    last: dict[str, Result] = {}
    for content in sorted(runs, key=_generated_at):
        for result in content.get("results", ()):
            status = STATUSES.get(result["status"], result["status"])
            last[result["unique_id"]] = {**result, "status": status}
    for event in events:
        problems = {problem.unique_id: problem for problem in event.problems}
        for unique_id in {event.unique_id, *problems}:
            if unique_id in last or "." not in unique_id:
                continue
            problem = problems.get(unique_id)
            rows = {} if event.rows is None else {"rows_affected": event.rows}
            last[unique_id] = {
                "unique_id": unique_id,
                "status": problem.status if problem else "success",
                "execution_time": event.seconds if unique_id == event.unique_id else 0.0,
                "message": problem.message if problem else None,
                "adapter_response": rows if unique_id == event.unique_id else {},
                "compiled_code": (problem.sql or None) if problem else None,
            }
    return [last[unique_id] for unique_id in sorted(last)]


def without_data(result: Result) -> Result:
    """Return a result whose message quotes no value of the data.

    More people read the site than may read the logs of the tasks.
    """
    if result["status"] == "success" or not result.get("message"):
        return result
    shown = f"{result['unique_id']} {result.get('compiled_code') or ''}"
    return {**result, "message": without_values(str(result["message"]), shown=shown)}


def with_compiled_sql(
    manifest: Mapping[str, Any],
    results: Iterable[Result],
    earlier: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the manifest with the compiled SQL of its nodes, as `dbt compile` would write it.

    dbt parses the project without compiling it, so the SQL comes from the results. A node that this
    run has not compiled has the SQL of the manifest `earlier`, if nothing that dbt compiled it from
    has changed since: its file, the macros that it calls, directly or not, and the names of the
    tables that it reads.
    """
    compiled = {result["unique_id"]: result.get("compiled_code") for result in results}
    before = earlier.get("nodes", {})
    now, then = _Written(manifest), _Written(earlier)
    nodes = {}
    for unique_id, node in manifest.get("nodes", {}).items():
        sql = compiled.get(unique_id)
        if not sql and before.get(unique_id, {}).get("compiled_code"):
            same = now.parts(unique_id) == then.parts(unique_id)
            sql = before[unique_id]["compiled_code"] if same else None
        nodes[unique_id] = (
            {**node, "compiled": True, "compiled_code": sql}
            if sql and not node.get("compiled_code")
            else node
        )
    return {**manifest, "nodes": nodes}


class _Written:
    """What dbt compiles the nodes of a manifest from."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self._nodes = {**manifest.get("sources", {}), **manifest.get("nodes", {})}
        self._macros = manifest.get("macros", {})

    def parts(self, unique_id: str) -> dict[str, object]:
        """The texts and names that the compiled SQL of a node is made of, by their ids.

        An ephemeral parent has no table: its own parts become a part of the node.
        """
        node = self._nodes[unique_id]
        depends_on = node.get("depends_on", {})
        found: dict[str, object] = {unique_id: node.get("raw_code")}
        waiting = list(depends_on.get("macros", ()))
        while waiting:
            name = waiting.pop()
            if name not in found:
                macro = self._macros.get(name, {})
                found[name] = macro.get("macro_sql")
                waiting += macro.get("depends_on", {}).get("macros", ())
        for name in depends_on.get("nodes", ()):
            parent = self._nodes.get(name, {})
            is_ephemeral = parent.get("config", {}).get("materialized") == "ephemeral"
            found[name] = self.parts(name) if is_ephemeral else parent.get("relation_name")
        return found


def compiled_file(unique_id: str) -> str:
    """Return the name of the file with the compiled SQL of a node or test."""
    kind, name = described(unique_id)
    if kind != "test":
        return f"compiled/{file_name(name)[:NAME_LENGTH]}.sql"
    # Two tests can have names that differ only after the place where they are cut.
    suffix = unique_id.rpartition(".")[2][:10]
    return f"compiled/tests/{file_name(name)[:NAME_LENGTH]}.{file_name(suffix)}.sql"


def own_manifest() -> dict[str, Any]:
    """Return the manifest of the project on this host; empty if there is none."""
    if not MANIFEST.is_file():
        return {}
    content: dict[str, Any] = json.loads(MANIFEST.read_bytes())
    return content


def _manifest_order(name: str) -> tuple[int, str]:
    """The key that sorts the manifests of a run: the one to use comes first.

    The id of a try begins with its time, so of several tries the last one is used.
    """
    place = next(
        (at for at, folder in enumerate(FIRST_MANIFESTS) if name.startswith(folder)),
        len(FIRST_MANIFESTS),
    )
    try_id = re.search(r"/try_\d+-([^/]+)/", name)
    # An ascending key for the latest time: each character's complement.
    latest = "".join(chr(0x10FFFF - ord(letter)) for letter in (try_id[1] if try_id else ""))
    return place, latest


def _node_results(lines: Iterable[bytes], problems: list[str]) -> list[NodeResult]:
    found = []
    for line in lines:
        try:
            found.append(from_json(line, NodeResult))
        except ValueError as error:
            problems.append(f"a node result is damaged: {error}")
    return found
