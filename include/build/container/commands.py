"""The commands of the image; each returns a result, or raises what `__main__` turns into one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from dbt.cli.main import dbtRunner

from include.build import preflight
from include.build.container import LOGIN_REFUSED, REQUEST, TRY_AGAIN
from include.build.container.reports import Report, Result
from include.build.run_dbt import Newsroom, Request, build, interrupt, run_dbt
from include.lake.run_days.find import find_run_days
from include.lake.run_days.freshness import stale_sources
from include.lake.run_days.record import record_build
from include.manifest import Manifest, dbt_arguments
from include.orchestration.watcher import CROSS_MODEL_TESTS
from include.remedies import is_refused_login, is_transient
from include.run_form import skip_reason
from include.settings import Settings, UserError
from include.warehouse import build_lock
from include.warehouse.database import open_database

LISTING_MINUTES = 30
"""How long finding the days of a first run may take."""


def build_all(
    settings: Settings, run_id: str, report: Report, *, full_refresh: bool = False
) -> Result:
    """All that a run of the DAG does: preflight, days, freshness, dbt, the record of the days."""
    # As Airflow tells it: queries are labelled with it, for WLM's queue and the cost of a run.
    os.environ |= {"AIRFLOW_CTX_DAG_ID": "game_analytics", "AIRFLOW_CTX_DAG_RUN_ID": run_id}
    for check in (preflight.check_dbt, preflight.check_lake, preflight.check_warehouse):
        print(check(settings), flush=True)
    print(preflight.check_manifest(), flush=True)
    manifest = Manifest.read()
    with open_database(settings) as database:
        found = find_run_days(
            database,
            settings,
            manifest,
            run_id=run_id,
            lease=LISTING_MINUTES,
            full_refresh=full_refresh,
        )
    print(found, flush=True)
    try:
        # From here on what is killed keeps others out for a few minutes only.
        with build_lock.renewed(settings, run_id, interrupt, build_lock.RENEWED_MINUTES):
            return _build_days(settings, run_id, report, manifest, full_refresh)
    finally:
        build_lock.give_back(settings, run_id, build_lock.RENEWED_MINUTES)


def exit_code(messages: Iterable[str]) -> int:
    """What a build ends with that failed of all this: 1 if trying it again mends nothing."""
    codes = {
        TRY_AGAIN if is_transient(message) else LOGIN_REFUSED if is_refused_login(message) else 1
        for message in messages
    }
    return next(code for code in (1, LOGIN_REFUSED, TRY_AGAIN) if code in codes)


def _build_days(
    settings: Settings, run_id: str, report: Report, manifest: Manifest, full_refresh: bool
) -> Result:
    stale = frozenset(stale_sources(settings, manifest, report.target))
    nodes = {
        node
        for node in manifest.built
        if not skip_reason({node}, manifest.sources(node), selected=None, stale=stale)
    }
    tests = [
        manifest.name(test)
        for test in manifest.tests_across()
        if not skip_reason(
            manifest.parents(test) & manifest.built,
            manifest.sources(test),
            selected=None,
            stale=stale,
        )
    ]
    request = Request(
        artifacts=str(report.target),
        run_id=run_id,
        select=None
        if nodes == manifest.built
        else [manifest.selector(node) for node in sorted(nodes)],
        tests=tests,
        full_refresh=full_refresh,
        catalog=True,
    )
    if nodes:
        run_dbt(request, settings, report.tell)
    release(settings)
    failed = report.failed()
    if failed:
        code = exit_code(entry["message"] if entry["status"] == "error" else "" for entry in failed)
        return Result(run_id, "failed", report.summary(), code, failed)
    if stale:
        message = f"Not everything was built: stale source {', '.join(sorted(stale))}."
        return Result(run_id, "failed", message, 1)
    with open_database(settings) as database:
        record_build(database, settings, manifest, full_refresh=full_refresh, run_id=run_id)
    return Result(run_id, "success", report.summary(), 0)


def follow(settings: Settings, report: Report) -> Result:
    """What a run of the DAG asks for: some nodes, once; how they did is in the events."""
    content = report.documents.read(REQUEST)
    if content is None:
        message = f"there is no {REQUEST} below {report.documents.root}: clear the task dbt_build."
        raise UserError(message)
    request = replace(Request(**json.loads(content)), artifacts=str(report.target))
    build(request, settings, report.tell)
    failed = report.failed()
    return Result(
        request.run_id,
        "failed" if failed else "success",
        report.summary(),
        0,
        failed,
    )


def dbt(settings: Settings, words: Sequence[str], report: Report, run_id: str) -> Result:
    """A command line of dbt; of a `build` or a `test` each node's news are told.

    A build that belongs to a run keeps the run's lock.
    """
    manifest = Manifest.read()
    newsroom = Newsroom(manifest, report.target, settings.adapter, report.tell)
    across = {manifest.name(test): test for test in manifest.tests_across()}
    if tests := [across[word] for word in " ".join(words).split() if word in across]:
        newsroom.follow(tests, CROSS_MODEL_TESTS)
    runner = dbtRunner(callbacks=[newsroom.hear])
    command = [*words, *dbt_arguments(settings, report.target)]
    if run_id and words[:1] == ["build"]:
        with build_lock.renewed(settings, run_id, interrupt):
            ended = runner.invoke(command)
    else:
        ended = runner.invoke(command)
    newsroom.catch_up()
    if isinstance(ended.exception, KeyboardInterrupt):
        raise ended.exception
    failed = report.failed()
    if ended.success:
        return Result(run_id, "success", report.summary(), 0)
    if failed:
        return Result(run_id, "failed", report.summary(), 1, failed)
    return Result(run_id, "error", f"dbt failed: {ended.exception or 'its log says why'}", 1)


def release(settings: Settings) -> None:
    """Close what dbt keeps open in this process, where DuckDB would take us for another."""
    if settings.target == "local":
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        # dbt's adapters have no annotations.
        DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
