"""Makes the pages of a run and publishes them: readers see the old site or the new one.

All files of a publication go into a new folder below the run's own folder. Nothing links there
until `run.json` of the run and then `index.html` are written, each of them in one step. Whatever
stops a publication before, no reader sees a part of it.
"""

from __future__ import annotations

import errno
import json
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.artifacts import RUNS, write_files
from include.manifest import BUILT_TYPES, task_id_of
from include.messages import FAILED, GOOD, Published, PublishRequest, file_name, to_json
from include.object_store import Documents, open_documents
from include.settings import Settings, UserError
from include.site import pages, runs
from include.site.catalog import write_catalog
from include.site.docs_page import write_dbt_docs
from include.site.openlineage.publication import send_lineage
from include.site.report import write_report
from include.site.run_artifacts import (
    SITE,
    Result,
    RunArtifacts,
    compiled_file,
    own_manifest,
    read_run,
    with_compiled_sql,
    without_data,
)

PAGES: Sequence[Callable[[Settings, Path], Sequence[object]]] = (write_report, write_catalog)
"""The writers of further pages. Each gets a folder that has the run's `manifest.json`,
`run_results.json`, `sources.json`, `run.json` and, if the warehouse could be read, `catalog.json`,
and writes its files there. Texts that it returns are notes about what the pages lack. Readers are
led to the pages that `pages.TITLES` names."""


def publish_run(settings: Settings, run_id: str, request: PublishRequest) -> Published:
    """Publish the pages of a run.

    Raises UserError if that fails. The index then leads to what it led to before, and so does every
    page. Only if the index alone cannot be written does `run.json` name the new pages already.
    """
    now = datetime.now(UTC)
    days = int(settings.docs_days)
    documents = open_documents(settings.docs, settings.docs_owner)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            run = _write_publication(settings, documents, run_id, request, now, Path(scratch))
            written = to_json(run, indent=2).encode()
            documents.write(f"{RUNS}/{run.folder}/{runs.RUN_FILE}", written)
            listed = runs.write_index(documents, pages.index_page, now, days)
            send_lineage(settings, Path(scratch), run, is_dag=bool(request.states))
    except (UserError, OSError) as error:
        is_full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
        reason = f"{error}: free some disk space." if is_full else str(error)
        message = f"the run is not published, and the site is as before: {reason}"
        raise UserError(message) from None
    _clean(documents, listed, now, days)
    for note in run.notes:
        print(f"warning: {note}.", flush=True)
    folder = f"{RUNS}/{run.folder}/{run.publication}"
    print(f"published {documents.root}/{folder} and {documents.root}/{runs.INDEX}", flush=True)
    return Published(run_id, run.outcome, folder, run.pages, run.notes)


def _write_publication(
    settings: Settings,
    documents: Documents,
    run_id: str,
    request: PublishRequest,
    now: datetime,
    folder: Path,
) -> runs.Run:
    """Make all files of a publication in a folder and write them into DOCS, where nothing links."""
    artifacts = read_run(documents, run_id)
    artifacts = replace(artifacts, results=[without_data(one) for one in artifacts.results])
    manifest = artifacts.manifest or own_manifest()
    manifest = with_compiled_sql(manifest, artifacts.results, _latest_manifest(documents))
    run = describe(run_id, request, artifacts, manifest, now)
    _write_artifacts(folder, artifacts, manifest)
    notes = list(run.notes)
    if manifest.get("nodes"):
        _, note = write_dbt_docs(settings, folder, artifacts.catalog)
        notes += [note] if note else []
    else:
        notes.append("no process of this run has written a manifest, so there are no dbt docs")
    _write_json(folder / runs.RUN_FILE, json.loads(to_json(run)))
    for write_page in PAGES:
        notes += [note for note in write_page(settings, folder) if isinstance(note, str)]
    written = [name for name in pages.TITLES if (folder / name).is_file()]
    run = replace(run, pages=tuple(written), notes=tuple(notes))
    _write_json(folder / runs.RUN_FILE, json.loads(to_json(run)))
    page = pages.run_page(run, artifacts.results, manifest, request.states)
    (folder / runs.INDEX).write_text(page)
    place = f"{RUNS}/{run.folder}/{run.publication}"
    files_by_name = {
        f"{place}/{path.relative_to(folder).as_posix()}": path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if error := write_files(documents, files_by_name):
        raise UserError(error)
    return run


def describe(
    run_id: str,
    request: PublishRequest,
    artifacts: RunArtifacts,
    manifest: Mapping[str, Any],
    now: datetime,
) -> runs.Run:
    """Return what `run.json` says about a run, before its pages are made."""
    nodes, tests = Counter[str](), Counter[str]()
    for result in artifacts.results:
        # The hooks of the project have results too, which are neither.
        kind = result["unique_id"].partition(".")[0]
        if kind in BUILT_TYPES or kind == "test":
            (tests if kind == "test" else nodes)[result["status"]] += 1
    missing = missing_tasks(artifacts.results, manifest, request.states)
    notes = list(artifacts.problems)
    if missing:
        shown = f"{', '.join(missing[:5])}{', …' if len(missing) > 5 else ''}"
        notes.append(f"{len(missing)} tasks have written no results: {shown}")
    times = _times(artifacts)
    began = runs.moment(request.started_at) if request.started_at else min(times, default=now)
    # The publication is no end, because a run can be published again days later.
    ended = max(times, default=now)
    return runs.Run(
        run_id=run_id,
        outcome=outcome_of(request, artifacts.results),
        publication=f"{SITE}/{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}",
        started_at=began.isoformat(timespec="seconds"),
        published_at=now.isoformat(timespec="microseconds"),
        seconds=max(round((ended - began).total_seconds(), 1), 0),
        folder=file_name(run_id),
        message=" ".join(request.message.split()),
        nodes=dict(nodes),
        tests=dict(tests),
        missing=tuple(missing),
        notes=tuple(notes),
    )


def outcome_of(request: PublishRequest, results: Sequence[Result]) -> str:
    """Return `failed`, `partial` or `success`.

    A run has failed if a task, a node or a test has, or if a source is stale. Nodes that were not
    selected make it partial.
    """
    states = set(request.states.values())
    statuses = {result["status"] for result in results}
    is_bad = states & {"failed", "upstream_failed"} or request.status not in {"", "success"}
    # After a repair and a clear the last result of each node counts, and the state of its task.
    if is_bad or request.stale or (not states and statuses & FAILED):
        return "failed"
    if "skipped" in states or (not states and "skipped" in statuses):
        return "partial"
    return "success"


def missing_tasks(
    results: Sequence[Result], manifest: Mapping[str, Any], states: Mapping[str, str]
) -> list[str]:
    """Return the ids of the tasks of nodes that succeeded although no result of them is there."""
    there = {result["unique_id"] for result in results if result["status"] in GOOD | FAILED}
    return sorted(
        task_id_of(unique_id)
        for unique_id, node in manifest.get("nodes", {}).items()
        if node["resource_type"] in BUILT_TYPES
        and node.get("config", {}).get("materialized") != "ephemeral"
        and states.get(task_id_of(unique_id)) == "success"
        and unique_id not in there
    )


def _write_artifacts(folder: Path, artifacts: RunArtifacts, manifest: Mapping[str, Any]) -> None:
    """Write the merged artifacts of a run: manifest, results, freshness, compiled SQL."""
    _write_json(folder / "manifest.json", manifest)
    metadata = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json"}
    content = {"metadata": metadata, "args": {}, "elapsed_time": 0, "results": artifacts.results}
    _write_json(folder / "run_results.json", content)
    _write_json(folder / "sources.json", {"metadata": {}, "results": artifacts.sources})
    for unique_id, node in manifest.get("nodes", {}).items():
        if sql := node.get("compiled_code"):
            file = folder / compiled_file(unique_id)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(sql)


def _latest_manifest(documents: Documents) -> dict[str, Any]:
    """Return the manifest of the run that was published last; empty if there is none."""
    if not (latest := runs.latest_publication(documents)):
        return {}
    name = f"{latest}/manifest.json"
    try:
        content: dict[str, Any] = json.loads(documents.read(name) or b"{}")
    except ValueError:
        return {}
    return content


def _clean(documents: Documents, listed: Sequence[runs.Run], now: datetime, days: int) -> None:
    """Delete what is old. The run is published, so a failure is only a warning."""
    try:
        for name in runs.clean(documents, listed, now, days):
            print(f"deleted {name}", flush=True)
    except UserError as error:
        print(f"warning: old runs are not deleted: {error}", flush=True)


def _times(artifacts: RunArtifacts) -> list[datetime]:
    """Return when the steps of the nodes and tests started and ended, by dbt's results."""
    return [
        runs.moment(step[name])
        for result in artifacts.results
        for step in result.get("timing", ())
        for name in ("started_at", "completed_at")
        if step.get(name)
    ]


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))
