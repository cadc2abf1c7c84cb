"""`make build`: plain `dbt build` on the same lake and warehouse, without Airflow."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import sys
from collections.abc import Mapping
from typing import Any

from include import manifest
from include.command import command
from include.laptop import lock
from include.laptop.private import keep_private
from include.laptop.processes import StopError, in_dbt_environment, stop_on_signals
from include.partial_builds import ARGUMENTS, refuse_options
from include.remedies import remedy
from include.settings import Settings, UserError

RUN_RESULTS = manifest.PROJECT / "target" / "run_results.json"
PASSED = frozenset({"pass", "warn"})
"""dbt's statuses of a data test that has run and does not fail the build."""


def build(settings: Settings, arguments: list[str]) -> int:
    """Find the run's days, run `dbt build`, record the days if all nodes were built and tested.

    Returns the exit code. Raises UserError for arguments with which tables would be incomplete, or
    would be in another warehouse than the record.
    """
    refuse_options(arguments)
    _refuse_other_warehouse(arguments)
    run = ["--run-id", f"make build on {socket.gethostname()}, {os.getpid()}"]
    with lock.hold("make build"):
        manifest.make(settings)
        in_dbt_environment(settings, "include.build.preflight")
        refresh = ["--full-refresh"] if {"--full-refresh", "-f"} & set(arguments) else []
        in_dbt_environment(settings, "include.lake", "partitions", *run, *refresh)
        try:
            return _build(settings, arguments, run)
        finally:
            if settings.target == "redshift":
                in_dbt_environment(settings, "include.warehouse.build_lock", "free", *run)


def _refuse_other_warehouse(arguments: list[str]) -> None:
    """Raise UserError for an option that names another project, profile or target."""
    for word in arguments:
        option = word.partition("=")[0]
        is_target = option == "--target" or re.match("-[dqxf]*t", word)
        if is_target or option in {"--profile", "--profiles-dir", "--project-dir"}:
            raise UserError(
                f"{option} would build in another warehouse than the one in which the days are "
                "recorded: leave it out, and set GAME_ANALYTICS_TARGET, GAME_ANALYTICS_DUCKDB or "
                "GAME_ANALYTICS_SCHEMA_PREFIX instead."
            )


def _build(settings: Settings, arguments: list[str], run: list[str]) -> int:
    RUN_RESULTS.unlink(missing_ok=True)
    try:
        in_dbt_environment(
            settings,
            *("include.warehouse.build_lock", "during", *run, "--"),
            *(settings.dbt_executable, "build", "--exclude-resource-type", "unit_test"),
            *("--project-dir", str(manifest.PROJECT)),
            *("--profiles-dir", str(manifest.PROJECT)),
            *("--target", settings.target),
            *arguments,
        )
    except UserError:
        for line in remedies():
            print(line, file=sys.stderr)
        raise
    try:
        results = json.loads(RUN_RESULTS.read_bytes())
    except (FileNotFoundError, ValueError):
        print("Not recorded as built: dbt has not built any node.")
        return 0
    if missing := not_built(results):
        print(f"Not recorded as built: {missing} were not part of this build.")
    else:
        flags = ["--full-refresh"] if results["args"].get("full_refresh") else []
        in_dbt_environment(settings, "include.lake", "record", *run, *flags)
    return 0


def remedies() -> list[str]:
    """A sentence with the remedy for each node of the last `dbt build` whose error has one."""
    try:
        results = json.loads(RUN_RESULTS.read_bytes())["results"]
    except (FileNotFoundError, ValueError):
        return []
    return [
        f"error: {' '.join(manifest.described(entry['unique_id']))}: {text}."
        for entry in results
        if entry["status"] in {"error", "runtime error"}
        and (text := remedy(entry.get("message") or ""))
    ]


def not_built(results: Mapping[str, Any]) -> str:
    """How many nodes and tests a `dbt build` with these run results left out; empty if none.

    Tests count whichever argument or variable left them out: a day whose tests have not run must
    be built, and tested, by the next run.
    """
    read = manifest.Manifest.read()
    statuses = {entry["unique_id"]: entry["status"] for entry in results["results"]}
    nodes = {node for node in read.built if statuses.get(node) != "success"}
    if any(results["args"].get(name) for name in ARGUMENTS):
        nodes = set(read.built)
    tests = {test for test in read.tests() if statuses.get(test) not in PASSED}
    return " and ".join(
        f"{len(left_out)} {kind}{'s' if len(left_out) != 1 else ''}"
        for kind, left_out in (("node", nodes), ("test", tests))
        if left_out
    )


def arguments(text: str) -> list[str]:
    """Split ARGS as a shell does; raises UserError for a quote that is not closed."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(
            f"ARGS={text} cannot be split into words ({error}): close the quote, or leave it out."
        ) from None


@command
def main() -> int:
    """Run the command."""
    keep_private()
    stop_on_signals()
    try:
        return build(Settings.from_env(os.environ), arguments(os.environ.get("ARGS", "")))
    except StopError as stopped:
        return 128 + int(stopped.args[0])


if __name__ == "__main__":
    sys.exit(main())
