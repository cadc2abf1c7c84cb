"""`python -m include.build.run_dbt`: one `dbt build`, with a result for each node as it ends.

Runs in dbt's environment. The process imports dbt and parses the project first, so that it can be
started before the run knows what to build. Then it reads requests from its standard input:

- A line that begins with `FRESHNESS_LINE` holds a `FreshnessRequest`. The answer is a line with the
  same beginning and `StaleSources`.
- Any other line is a `BuildRequest`, the last request. Lines of the standard output that begin with
  `RESULT_LINE` hold a `NodeResult`. All other lines are dbt's own log.

When the standard input ends, the process that sent the requests has ended, or it needs nothing. A
build is stopped then. Exit codes: 0 if dbt finished, even if nodes or tests failed, and if no build
was requested; 1 if dbt could not run; 130 if it was stopped.

The artifacts and the node results are also written to the `report` of the request. If that fails, a
warning is printed, and the build goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from dbt.cli.main import dbtRunner, dbtRunnerResult

from include.build.node_results import BuildError, NodeResultCollector
from include.build.reports import Report
from include.command import command
from include.engine_text import without_values
from include.lake.run_days.freshness import reported_stale_sources
from include.manifest import Manifest, dbt_arguments
from include.messages import (
    CROSS_MODEL_TESTS,
    EXIT_STOPPED,
    FRESHNESS_LINE,
    RESULT_LINE,
    BuildRequest,
    FreshnessRequest,
    NodeResult,
    RunResult,
    StaleSources,
    from_json,
    to_json,
)
from include.object_store import open_documents
from include.settings import Settings, UserError
from include.warehouse import build_lock

STOP_SECONDS = 20
"""How long dbt may take to cancel its statements."""
REPORT_SECONDS = 10.0
"""How long the report of a stopped build may take: other tasks wait for the end of this process."""


def print_result(result: NodeResult) -> None:
    """Print a result as one line, in one write, because dbt logs there on other threads."""
    sys.stdout.write(f"{RESULT_LINE}{to_json(result)}\n")
    sys.stdout.flush()


def parse(settings: Settings) -> dbtRunnerResult:
    """Parse the project once, for all commands that this process runs."""
    # The commands that use the result have a target folder of their own.
    with tempfile.TemporaryDirectory() as target:
        arguments = dbt_arguments(settings, Path(target))
        return dbtRunner().invoke(["--quiet", "parse", "--no-write-json", *arguments])


def stale_sources(request: FreshnessRequest, settings: Settings, parsed: dbtRunnerResult) -> str:
    """The line that answers a request; an error is part of it, and this process goes on."""

    def run(arguments: Sequence[str]) -> None:
        dbtRunner(manifest=_manifest(parsed)).invoke(list(arguments))  # type: ignore[arg-type]

    try:
        found = reported_stale_sources(settings, Manifest.read(), request.run_id, run)
        answer = StaleSources(tuple(found))
    except Exception as error:  # noqa: BLE001 - the task `freshness` finds and raises it again
        if not isinstance(error, UserError | BuildError):
            traceback.print_exc()
        answer = StaleSources((), error=f"{type(error).__name__}: {without_values(str(error))}")
    finally:
        close_warehouse(settings)
    return f"{FRESHNESS_LINE}{to_json(answer)}"


def close_warehouse(settings: Settings) -> None:
    """Close dbt's connections: dbt keeps a DuckDB file locked until its process ends."""
    if settings.target == "local":
        # Only the adapter of the target is installed in some images.
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]


def _manifest(parsed: dbtRunnerResult) -> object:
    """The parsed project; raises BuildError if dbt could not parse it."""
    if not parsed.success:
        raise BuildError(f"dbt cannot parse the project: {parsed.exception}")
    return parsed.result


def build(
    request: BuildRequest,
    settings: Settings,
    publish: Callable[[NodeResult], None] = print_result,
    parsed: dbtRunnerResult | None = None,
) -> None:
    """Run dbt under the build lock and publish the result of each node.

    Raises BuildError if dbt could not finish, KeyboardInterrupt if it was stopped, and LockedError
    or LockLostError if this run may not build.
    """
    with build_lock.renewed(settings, request.run_id, interrupt):
        run_dbt(request, settings, publish, parsed)


def interrupt(reason: str) -> None:
    """Stop dbt, from any thread."""
    print(f"Stopping dbt: {reason}", flush=True)
    os.kill(os.getpid(), signal.SIGINT)


def run_dbt(
    request: BuildRequest,
    settings: Settings,
    publish: Callable[[NodeResult], None],
    parsed: dbtRunnerResult | None = None,
) -> None:
    """Run dbt and publish the result of each node; the caller holds the build lock.

    `parsed` is the parsed project; without it the project is parsed first. Raises BuildError if dbt
    could not finish, and KeyboardInterrupt if it was stopped.
    """
    manifest = Manifest.read()
    artifacts = Path(request.artifacts)
    collector = NodeResultCollector(manifest, artifacts, settings.adapter, publish)
    common = dbt_arguments(settings, artifacts)
    # The catalog of an earlier try does not show what this one builds.
    (artifacts / "catalog.json").unlink(missing_ok=True)
    project = _manifest(parsed or parse(settings))
    dbt = dbtRunner(manifest=project, callbacks=[collector.on_event])  # type: ignore[arg-type]
    built = dbt.invoke([*_build_command(request, manifest), *common])
    collector.finish(built)
    if not built.success:
        return
    if request.tests:
        selectors = _selectors(request.tests, manifest)
        collector.group(request.tests, CROSS_MODEL_TESTS)
        with all_results(artifacts):
            collector.finish(dbt.invoke(["test", "--select", *selectors, *common]))
    if request.catalog:
        docs = dbtRunner(manifest=project)  # type: ignore[arg-type]
        if not docs.invoke(["--quiet", "docs", "generate", "--no-compile", *common]).success:
            # The task `publish` tries again, and says what the pages lack.
            (artifacts / "catalog.json").unlink(missing_ok=True)


def _build_command(request: BuildRequest, manifest: Manifest) -> list[str]:
    selected = [] if request.select is None else ["--select", *request.select]
    across = _selectors(manifest.tests_across(), manifest)
    return [
        *("build", "--exclude-resource-type", "unit_test"),
        # A test that has another parent too does not run here, but after all nodes.
        *("--indirect-selection", "cautious"),
        *selected,
        *(["--exclude", *across] if across else []),
        *(["--full-refresh"] if request.full_refresh else []),
    ]


def _selectors(tests: Iterable[str], manifest: Manifest) -> list[str]:
    """The selectors of tests; raises BuildError if the project has no such test."""
    if unknown := sorted(set(tests) - set(manifest.tests_across())):
        raise BuildError(
            f"the project has no cross-model test {', '.join(unknown)}: deploy the DAG and the "
            "image from the same checkout."
        )
    return [manifest.selector(test) for test in tests]


@contextmanager
def all_results(artifacts: Path) -> Iterator[None]:
    """Keep in `run_results.json` the results of the command before the one in the block."""
    file = artifacts / "run_results.json"
    before = json.loads(file.read_bytes())["results"] if file.is_file() else []
    yield
    if before and file.is_file():
        content = json.loads(file.read_bytes())
        file.write_text(json.dumps({**content, "results": [*before, *content["results"]]}))


def read_requests(requests: SimpleQueue[str]) -> None:
    """Put each line of the standard input into the queue, and an empty text at its end.

    Stop dbt when the standard input ends, so that no other process builds beside this one.
    """
    is_building = False
    for line in sys.stdin:
        is_building |= not line.startswith(FRESHNESS_LINE)
        requests.put(line)
    requests.put("")
    if not is_building:
        return
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(STOP_SECONDS)
    os._exit(EXIT_STOPPED)


def open_report(request: BuildRequest, settings: Settings) -> Report | None:
    """Return the report that a request asks for; None, with a warning, if it cannot be opened."""
    if not request.report:
        return None
    try:
        documents = open_documents(request.report, settings.docs_owner)
    except UserError as error:
        print(f"warning: there is no report: {error}", flush=True)
        return None
    return Report(documents, Path(request.artifacts))


def build_and_report(
    request: BuildRequest, settings: Settings, parsed: dbtRunnerResult | None = None
) -> None:
    """Build what the request names and write the report; raises what `build` raises."""
    report = open_report(request, settings)
    if report is None:
        build(request, settings, parsed=parsed)
        return

    def publish(result: NodeResult) -> None:
        print_result(result)
        report.add(result)

    try:
        build(request, settings, publish, parsed)
    except KeyboardInterrupt:
        ended = RunResult(request.run_id, "stopped", "stopped by a signal", EXIT_STOPPED)
        close_in_time(report, ended)
        raise
    except Exception as error:
        report.close(RunResult(request.run_id, "error", without_values(str(error)), 1))
        raise
    failed = report.failed()
    status: Literal["success", "failed"] = "failed" if failed else "success"
    report.close(RunResult(request.run_id, status, report.summary(), 0, failed))


def close_in_time(report: Report, result: RunResult) -> None:
    """Close the report of a stopped build; ends this process if that takes too long."""
    closing = threading.Thread(target=report.close, args=(result,), daemon=True)
    closing.start()
    closing.join(REPORT_SECONDS)
    if closing.is_alive():
        print("error: stopped; the report is incomplete.", file=sys.stderr, flush=True)
        os._exit(EXIT_STOPPED)


@command
def main() -> int:
    """Answer the requests on the standard input; the last one names what is built."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    requests: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=read_requests, args=(requests,), daemon=True).start()
    settings = Settings.from_env(os.environ)
    try:
        parsed = parse(settings)
        while (line := requests.get()).startswith(FRESHNESS_LINE):
            request = from_json(line.removeprefix(FRESHNESS_LINE), FreshnessRequest)
            sys.stdout.write(stale_sources(request, settings, parsed) + "\n")
            sys.stdout.flush()
        if line:
            build_and_report(from_json(line, BuildRequest), settings, parsed)
    except KeyboardInterrupt:
        print("error: stopped.", file=sys.stderr)
        return EXIT_STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
