"""The commands of the dbt image; each returns a `RunResult`, or raises an error for `__main__`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from dbt.cli.main import dbtRunner

from include.build import preflight
from include.build.node_results import NodeResultCollector
from include.build.reports import Report
from include.build.run_dbt import build, interrupt, run_dbt
from include.command import ERROR
from include.engine_text import without_values
from include.lake.run_days.find import find_run_days
from include.lake.run_days.freshness import stale_sources
from include.lake.run_days.record import record_build
from include.manifest import Manifest, dbt_arguments
from include.messages import (
    CROSS_MODEL_TESTS,
    DAG_ID_VARIABLE,
    EXIT_LOGIN_REFUSED,
    EXIT_TRY_LATER,
    REQUEST_FILE,
    RUN_ID_VARIABLE,
    BuildRequest,
    PublishRequest,
    RunResult,
    from_json,
    to_json,
)
from include.remedies import is_refused_login, is_transient
from include.run_form import skip_reason
from include.settings import Settings, UserError
from include.warehouse import build_lock
from include.warehouse.database import open_database

LISTING_MINUTES = 30
"""How long finding the days of a first run may take."""
PUBLISH_SECONDS = 900
"""How long the publication of a run may take."""
PROCESS_START = time.time()
"""When this process began, in epoch seconds."""


def build_all(
    settings: Settings,
    run_id: str,
    report: Report,
    *,
    full_refresh: bool = False,
    allow_lost_rows: bool = False,
) -> RunResult:
    """Do all steps of a DAG run: preflight, days, freshness, dbt, the record of the days."""
    # Airflow sets these for its tasks. They label the statements, for WLM's queue and for the cost
    # of a run.
    os.environ |= {DAG_ID_VARIABLE: "game_analytics", RUN_ID_VARIABLE: run_id}
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
            allow_lost_rows=allow_lost_rows,
        )
    print(found, flush=True)
    try:
        # From here on a killed container keeps other runs out for a few minutes only.
        with build_lock.renewed(settings, run_id, interrupt, build_lock.RENEWED_MINUTES):
            return _build_days(settings, run_id, report, manifest, full_refresh)
    finally:
        build_lock.give_back(settings, run_id, build_lock.RENEWED_MINUTES)


def exit_code(messages: Iterable[str]) -> int:
    """Return the exit code of a build that failed with all these messages.

    It is 1 if one of them is neither a transient error nor a refused login.
    """
    codes = {
        EXIT_TRY_LATER
        if is_transient(message)
        else EXIT_LOGIN_REFUSED
        if is_refused_login(message)
        else 1
        for message in messages
    }
    return next(code for code in (1, EXIT_LOGIN_REFUSED, EXIT_TRY_LATER) if code in codes)


def _build_days(
    settings: Settings, run_id: str, report: Report, manifest: Manifest, full_refresh: bool
) -> RunResult:
    """Build the run's days, as far as their sources are not stale, and record them as built."""
    stale = frozenset(stale_sources(settings, manifest, report.target))
    request = _request(run_id, report, manifest, stale, full_refresh)
    # Nothing is selected if every node needs a stale source.
    if request.select != ():
        run_dbt(request, settings, report.print_and_add)
    release(settings)
    failed = report.failed()
    if failed:
        code = exit_code(report.errors())
        return RunResult(run_id, "failed", report.summary(), code, failed)
    if stale:
        message = f"Not everything was built: stale source {', '.join(sorted(stale))}."
        return RunResult(run_id, "failed", message, 1)
    ended = {result.unique_id for result in report.results}
    wanted = {*manifest.built, *([CROSS_MODEL_TESTS] if request.tests else [])}
    if missing := sorted(wanted - ended):
        message = f"dbt has not built and tested {', '.join(missing[:5])}: see its log, run again."
        return RunResult(run_id, "failed", message, 1)
    with open_database(settings) as database:
        record_build(database, settings, manifest, full_refresh=full_refresh, run_id=run_id)
    return RunResult(run_id, "success", report.summary(), 0)


def _request(
    run_id: str,
    report: Report,
    manifest: Manifest,
    stale: frozenset[str],
    full_refresh: bool,
) -> BuildRequest:
    """Return the request for all nodes and cross-model tests that need no stale source."""
    nodes = {
        node
        for node in manifest.built
        if not skip_reason({node}, manifest.sources(node), selected=None, stale=stale)
    }
    tests = [
        test
        for test in manifest.tests_across()
        if not skip_reason(
            manifest.parents(test) & manifest.built,
            manifest.sources(test),
            selected=None,
            stale=stale,
        )
    ]
    selectors = tuple(manifest.selector(node) for node in sorted(nodes))
    return BuildRequest(
        artifacts=str(report.target),
        run_id=run_id,
        select=None if nodes and nodes == manifest.built else selectors,
        tests=tuple(tests),
        full_refresh=full_refresh,
    )


def publish(settings: Settings, report: Report, result: RunResult) -> RunResult:
    """Publish the pages of a run whose build has ended; returns the result of both.

    The publication is a process of its own, because DuckDB and dbt keep connections open in this
    one. A run that was built and is not published has failed: its result names the remedy.
    """
    report.upload_artifacts()
    request = PublishRequest(
        started_at=datetime.fromtimestamp(PROCESS_START, UTC).isoformat(),
        status=result.status,
        message=result.message,
    )
    words = ["include.site", "publish", "--run-id", result.run_id, "--request"]
    try:
        subprocess.run(
            [sys.executable, "-m", *words],
            input=f"{to_json(request)}\n",
            env={**os.environ, **settings.as_environment()},
            text=True,
            stderr=subprocess.PIPE,
            timeout=PUBLISH_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        error = f"the publication took more than {PUBLISH_SECONDS} s: see that DOCS answers."
    except subprocess.CalledProcessError as failed:
        print(failed.stderr, file=sys.stderr, flush=True)
        error = ["", *failed.stderr.splitlines()][-1].removeprefix(ERROR)
    else:
        return result
    message = f"{result.message}; {error}"
    if result.status != "success":
        return replace(result, message=message)
    return replace(result, message=message, status="failed", exit_code=1)


def follow(settings: Settings, report: Report) -> RunResult:
    """Build what the request in the folder of the report names.

    The exit code is 0 even if nodes failed: the events hold their results, for their own tasks.
    """
    content = report.documents.read(REQUEST_FILE)
    if content is None:
        message = (
            f"there is no {REQUEST_FILE} below {report.documents.root}: clear the task dbt_build."
        )
        raise UserError(message)
    request = replace(from_json(content, BuildRequest), artifacts=str(report.target))
    build(request, settings, report.print_and_add)
    failed = report.failed()
    return RunResult(
        request.run_id,
        "failed" if failed else "success",
        report.summary(),
        0,
        failed,
    )


def dbt(settings: Settings, words: Sequence[str], report: Report, run_id: str) -> RunResult:
    """Run a command line of dbt; a `build` or a `test` reports the result of each node.

    A build that belongs to a run renews the run's build lock.
    """
    manifest = Manifest.read()
    collector = NodeResultCollector(manifest, report.target, settings.adapter, report.print_and_add)
    across = {manifest.selector(test): test for test in manifest.tests_across()}
    if tests := [across[word] for word in " ".join(words).split() if word in across]:
        collector.group(tests, CROSS_MODEL_TESTS)
    runner = dbtRunner(callbacks=[collector.on_event])
    command = [*words, *dbt_arguments(settings, report.target)]
    if run_id and words[:1] == ["build"]:
        with build_lock.renewed(settings, run_id, interrupt):
            ended = runner.invoke(command)
    else:
        ended = runner.invoke(command)
    collector.drain()
    if isinstance(ended.exception, KeyboardInterrupt):
        raise ended.exception
    failed = report.failed()
    if ended.success:
        return RunResult(run_id, "success", report.summary(), 0)
    if failed:
        return RunResult(run_id, "failed", report.summary(), 1, failed)
    reason = without_values(str(ended.exception or "")) or "its log gives the reason"
    message = f"dbt failed: {reason}"
    return RunResult(run_id, "error", message, 1)


def release(settings: Settings) -> None:
    """Close the connections that dbt keeps open in this process.

    DuckDB refuses a second connection of a process to the same file if its configuration differs.
    """
    if settings.target == "local":
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        # dbt's adapters have no annotations.
        DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
