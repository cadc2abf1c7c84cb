"""`make run`: one run of the DAG by the real scheduler, with its progress in the terminal."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include import manifest
from include.artifacts import run_folder
from include.command import command
from include.lake.storage.folder import visible_files
from include.laptop import lock
from include.laptop.airflow import Airflow, Client, NoAnswerError, clean_temporary
from include.laptop.private import keep_private
from include.laptop.processes import (
    STOP_SECONDS,
    StopError,
    ignore_signals,
    in_dbt_environment,
    stop_on_signals,
)
from include.messages import from_json
from include.object_store import open_documents
from include.settings import Settings, UserError
from include.site.pages import titles
from include.site.runs import INDEX, RUN_FILE, Run

POLL_SECONDS = 1.0
"""The interval at which the run is read. 100 tasks cost the API server 0.1 s of processor time."""
CHANGED_SECONDS = 30.0
"""How old the changes may be that are read again each time, because a change can be seen only when
its transaction has ended. At the end of the run all tasks are read."""
NO_ANSWER_SECONDS = 120
"""How long Airflow's API may not answer before the run is given up."""
IDLE_SECONDS = 1.0
"""How long Airflow may take to end by itself after a run. Nothing runs then, and its loops sleep
for seconds before they end."""
FINAL = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class Progress:
    """Prints a line for each task that ends or waits for a retry, and the tasks that run now."""

    def __init__(self, client: Client, run_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self.began = time.monotonic()
        self.seen: dict[str, tuple[str, int]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.since: datetime | None = None

    def update(self, read_all: bool) -> None:
        """Read the tasks that have changed, or all, and print those whose state has changed."""
        began = datetime.now(UTC)
        changed = self.client.tasks(self.run_id, None if read_all else self.since)
        # If the next poll fails, the one after it reads the changes since this one.
        self.since = began - timedelta(seconds=CHANGED_SECONDS)
        self.tasks.update({task["task_id"]: task for task in changed})
        for task in sorted(changed, key=lambda task: task["end_date"] or "9"):
            now = (task["state"] or "none", task["try_number"])
            if self.seen.get(task["task_id"]) != now:
                self.seen[task["task_id"]] = now
                self._print(task)
        if sys.stdout.isatty():
            states = {name: task["state"] for name, task in self.tasks.items()}
            running = [name for name, state in states.items() if state == "running"]
            done = sum(state in FINAL for state in states.values())
            line = f"{self._elapsed()}  {done}/{len(self.tasks)} done, now {', '.join(running)}"
            print(f"\r\x1b[2K{line[:100]}", end="", flush=True)

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self.began:7.1f} s"

    def _print(self, task: dict[str, Any]) -> None:
        state = task["state"]
        if state not in FINAL | {"up_for_retry"}:
            return
        clear = "\r\x1b[2K" if sys.stdout.isatty() else ""
        took = f"{task['duration']:.1f} s" if task["duration"] is not None else ""
        print(f"{clear}{self._elapsed()}  {task['task_id']:<40} {state:<16} {took:>8}", flush=True)
        if state in {"failed", "up_for_retry"}:
            try:
                error = self.client.error(self.run_id, task["task_id"], task["try_number"])
            except UserError:
                # A task that was killed may have no log.
                error = ""
            lines = (error or "no message: read its log").splitlines()
            # Before a retry one line is enough: the whole error follows if the last try fails.
            for line in lines if state == "failed" else lines[:1]:
                print(f"             {line}", flush=True)


def needs_sample(lake: Path, declared: manifest.Manifest) -> bool:
    """Whether the lake is empty: no source has data, and no file was ever landed.

    A sample must never be added to a lake with real data.
    """
    names = [source["name"] for source in declared.content["sources"].values()]
    landed = (lake / "_landing" / zone for zone in ("receipts", "committed"))
    return not any(any(visible_files(lake / name)) for name in names) and not any(
        any(zone.iterdir()) for zone in landed if zone.is_dir()
    )


def follow(airflow: Airflow, client: Client, run_id: str) -> list[dict[str, Any]]:
    """Print the run's progress until it has ended; returns its task instances."""
    progress = Progress(client, run_id)
    answered = time.monotonic()
    for _ in _ticks():
        airflow.check()
        try:
            ended = client.run_state(run_id) in {"success", "failed"}
            progress.update(read_all=ended)
        except NoAnswerError:
            # If a process has ended, the next check raises; otherwise the API may answer again.
            if time.monotonic() - answered > NO_ANSWER_SECONDS:
                raise
            continue
        answered = time.monotonic()
        if ended:
            if sys.stdout.isatty():
                print("\r\x1b[2K", end="")
            return list(progress.tasks.values())
    raise AssertionError


def _ticks() -> Iterator[None]:
    while True:
        yield
        time.sleep(POLL_SECONDS)


def run(settings: Settings, sample: list[str]) -> int:
    """Do what `make run` does after the installation; returns the exit code."""
    began = time.monotonic()
    # The schedule must not start a second run.
    airflow = Airflow(replace(settings, schedule="none"))
    with lock.hold("make run", airflow.session):
        clean_temporary()
        if manifest.make(settings):
            print("Made dbt/target/manifest.json")
        airflow.nodes = len(manifest.Manifest.read().built)
        # For another target only Airflow's tasks have the login, so the DAG's preflight must do.
        if settings.target == "local":
            if needs_sample(Path(settings.lake), manifest.Manifest.read()):
                in_dbt_environment(settings, "include.lake", "generate", *sample)
            in_dbt_environment(settings, "include.build.preflight")
        client, stop_seconds = None, float(STOP_SECONDS)
        try:
            airflow.start()
            client = airflow.wait()
            client.unpause()
            for run_id in client.fail_unfinished_runs():
                print(f"Set the unfinished run {run_id} to failed")
            run_id = f"make_run__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
            client.trigger(run_id)
            print(f"Airflow is up after {time.monotonic() - began:.1f} s; run {run_id}")
            tasks = follow(airflow, client, run_id)
            stop_seconds = IDLE_SECONDS
        finally:
            ignore_signals()
            _stop(airflow, client, stop_seconds)
    return report(settings, run_id, tasks, time.monotonic() - began)


def _stop(airflow: Airflow, client: Client | None, term_seconds: float) -> None:
    try:
        if client:
            client.http.timeout = 3
            # Airflow would continue an unfinished run at its next start.
            client.fail_unfinished_runs()
            # The API server ends only after all connections are closed.
            client.http.close()
    except UserError:
        pass
    finally:
        airflow.stop(term_seconds)
        clean_temporary()


def links(settings: Settings, run_id: str) -> list[tuple[str, str]]:
    """Return the title and the address of each page of a run, then of the page that lists all runs.

    Raises UserError if DOCS cannot be read or the run is not published.
    """
    root = settings.docs if settings.docs.startswith("s3://") else Path(settings.docs).as_uri()
    documents = open_documents(settings.docs, settings.docs_owner)
    content = documents.read(f"{run_folder(run_id)}/{RUN_FILE}")
    if content is None:
        raise UserError("the run is not published: see the log of the task publish.")
    run = from_json(content, Run)
    folder = f"{root}/{run_folder(run_id)}/{run.publication}"
    return [
        *((title, f"{folder}/{page}") for title, page in titles(run)),
        ("this run", f"{folder}/{INDEX}"),
        ("all runs", f"{root}/{INDEX}"),
    ]


def report(settings: Settings, run_id: str, tasks: list[dict[str, Any]], seconds: float) -> int:
    """Print the KPI table, the locations and the run's result; returns the exit code."""
    others: dict[str, list[str]] = {}
    for task in sorted(tasks, key=lambda task: str(task["task_id"])):
        if task["state"] != "success":
            others.setdefault(task["state"] or "none", []).append(task["task_id"])
    print()
    if settings.target == "local":
        in_dbt_environment(settings, "include.build.kpis")
        print(f"\nwarehouse  {settings.duckdb}")
    else:
        print("KPIs       in the log of the task kpi_summary")
        print(f"warehouse  {settings.target}, connection {settings.connection_id}")
    print(f"lake       {settings.lake}")
    print(f"logs       {lock.HOME / 'logs'}\n")
    try:
        for title, address in links(settings, run_id):
            print(f"{title:<10} {address}")
    except UserError as error:
        print(f"pages      {error}")
    if others:
        count = sum(map(len, others.values()))
        print(f"\n{count} of {len(tasks)} tasks did not succeed:", file=sys.stderr)
        for state, names in others.items():
            print(f"  {state}: {', '.join(names)}", file=sys.stderr)
        return 1
    print(f"\n{len(tasks)} tasks succeeded in {seconds:.0f} s.")
    return 0


@command
def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    for name in ("days", "players", "seed", "end"):
        parser.add_argument(f"--{name}", default="", help="Parameter of the sample.")
    sample = [
        part
        for name, value in vars(parser.parse_args()).items()
        if value
        for part in (f"--{name}", value)
    ]
    keep_private()
    stop_on_signals()
    try:
        return run(Settings.from_env(os.environ), sample)
    except StopError as stopped:
        print("\nStopped, with all processes that were started.", file=sys.stderr)
        return 128 + int(stopped.args[0])


if __name__ == "__main__":
    sys.exit(main())
