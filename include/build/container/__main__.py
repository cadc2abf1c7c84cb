"""`python -m include.build.container COMMAND`: the entry point of the dbt image.

build [--run-id ID]   does all steps of a DAG run, for Step Functions or a person;
                      --full-refresh builds incremental models again from the whole lake,
                      --allow-lost-rows builds although a source lost most of its rows
follow --request URI  builds what Airflow requests in the file at this URI
dbt …                 runs a command line of dbt, which Cosmos sends

Each command first checks that the image has the dbt project of the DAG. It writes its report below
the setting DOCS; the docstring of this package lists the files. Exit codes: 0, success; 1, a node
or a test failed, or an error needs a repair; 2, the command line is wrong; 75, a later try may
succeed; 77, the login was refused; 128 + n, signal n stopped it. `follow` also ends with 0 if nodes
failed, because their own tasks report them.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from include import manifest
from include.build.container import commands
from include.build.reports import Report
from include.command import command
from include.engine_text import without_values
from include.messages import (
    EXIT_TRY_LATER,
    FINGERPRINT_VARIABLE,
    REPORT_VARIABLE,
    REQUEST_FILE,
    RUN_ID_VARIABLE,
    RunResult,
    file_name,
)
from include.object_store import open_documents
from include.partial_builds import refuse_options, refuse_variables
from include.settings import Settings, UserError
from include.warehouse.build_lock import LockedError, LockLostError

STOP_SECONDS = 15.0
"""How long dbt may take to cancel its statements. The rest of the time that ECS allows a container
to stop is for the artifacts."""
REPORT_SECONDS = 10.0
"""How long the report may take after dbt was cancelled, for the case that S3 does not answer."""


class Stop:
    """Handles SIGTERM and SIGINT: dbt is interrupted, and the report is still written."""

    def __init__(self) -> None:
        self.signal = 0
        self.report: Report | None = None
        self.run_id = ""
        self.is_ending = False

    def on_signal(self, number: int, _: FrameType | None) -> None:
        """Interrupt dbt at the first signal, and ignore further ones.

        A command that has already ended is not interrupted but finishes its report: without
        `result.json` its outcome would be lost.
        """
        if self.signal:
            return
        self.signal = number
        print(f"Stopping because of signal {number}.", flush=True)
        threading.Thread(target=self.end_process, daemon=True).start()
        if not self.is_ending:
            raise KeyboardInterrupt

    def end_process(self) -> None:
        """After `STOP_SECONDS`, write the report and end the process, if dbt has not ended."""
        time.sleep(STOP_SECONDS)
        if self.report:
            closing = threading.Thread(target=self.report.close, args=(self.result(),), daemon=True)
            closing.start()
            closing.join(REPORT_SECONDS)
        os._exit(128 + self.signal)

    def result(self) -> RunResult:
        """Return the result of a command that a signal stopped."""
        name = signal.Signals(self.signal).name
        message = f"stopped by {name}: nodes that were not built yet are unchanged"
        return RunResult(self.run_id, "stopped", message, 128 + self.signal)


def run(words: Sequence[str], settings: Settings, stop: Stop) -> int:
    """Run a command and write its report; returns the exit code."""
    options = arguments(words)
    root = options.root or f"{settings.docs}/runs/{file_name(options.run_id)}/{options.command}"
    stop.run_id = options.run_id
    is_refused = False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as target:
        documents = open_documents(root, settings.docs_owner)
        report = stop.report = Report(documents, Path(target))
        try:
            check_project()
            refuse_variables(os.environ)
            result = _run_command(options, settings, report)
        except KeyboardInterrupt:
            result = stop.result()
        except UserError as error:
            # An interrupt can end dbt with an error, in its parse for example. A run that lost the
            # build lock interrupts itself, and its result is the lost lock.
            is_refused = isinstance(error, LockedError)
            if stop.signal and not isinstance(error, LockedError | LockLostError):
                result = stop.result()
            else:
                result = failure(options.run_id, str(error), again=is_refused)
        except Exception as error:  # noqa: BLE001 - any bug must be reported
            # A bug must be in the report as well, where the on-call engineer looks.
            traceback.print_exc()
            # The state machine sends the message in an alert, and the error may quote a file.
            message = f"{type(error).__name__}: {without_values(str(error))}"
            code = commands.exit_code([str(error)])
            result = RunResult(options.run_id, "error", message, code)
        # A run that was refused the build lock has built nothing and will be tried again. Its
        # publication would replace the latest run.
        if options.command == "build" and not stop.signal and not is_refused:
            try:
                result = commands.publish(settings, report, result)
            except KeyboardInterrupt:
                result = stop.result()
        stop.is_ending = True
        report.close(result)
    if report.upload_error and not result.exit_code:
        message = f"built, but the report is incomplete: {report.upload_error}"
        print(f"error: {message}", file=sys.stderr)
        return 1
    return result.exit_code


def _run_command(options: argparse.Namespace, settings: Settings, report: Report) -> RunResult:
    if options.command == "build":
        return commands.build_all(
            settings,
            options.run_id,
            report,
            full_refresh=options.full_refresh,
            allow_lost_rows=options.allow_lost_rows,
        )
    if options.command == "follow":
        return commands.follow(settings, report)
    refuse_options(options.words)
    return commands.dbt(settings, options.words, report, os.environ.get(RUN_ID_VARIABLE, ""))


def check_project() -> None:
    """Raise UserError if the image has another dbt project than the DAG that started it."""
    own = manifest.FINGERPRINT.read_text().strip() if manifest.FINGERPRINT.is_file() else ""
    if os.environ.get(FINGERPRINT_VARIABLE, own) != own:
        raise UserError(
            "the image has another dbt project than the DAG: `make push`, then deploy "
            "include/aws/build.yaml with the ImageUri that it prints."
        )


def failure(run_id: str, message: str, *, again: bool) -> RunResult:
    """Return the result of a command that an error ended; `again` if a later try may succeed."""
    code = EXIT_TRY_LATER if again else commands.exit_code([message])
    return RunResult(run_id, "error", message, code)


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line.

    Returns `command`, `run_id`, `root` (the folder of the report; empty for the folder that the run
    and the command give) and, for `dbt`, its `words`.
    """
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    own = os.environ.get(RUN_ID_VARIABLE) or f"{socket.gethostname()}-{started}"
    if words[:1] == ["dbt"]:
        root = os.environ.get(REPORT_VARIABLE, "")
        return argparse.Namespace(command="dbt", run_id=own, root=root, words=list(words[1:]))
    parser = argparse.ArgumentParser(
        prog="python -m include.build.container",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="command", required=True)
    build = kinds.add_parser("build")
    build.add_argument("--run-id", type=name, default=own)
    build.add_argument("--full-refresh", action="store_true")
    build.add_argument("--allow-lost-rows", action="store_true")
    build.set_defaults(root="")
    follow = kinds.add_parser("follow")
    follow.add_argument("--request", type=folder_of_request, required=True, dest="root")
    follow.set_defaults(run_id=own)
    return parser.parse_args(words)


def name(text: str) -> str:
    """Return a run id that can be the name of a folder; raises ArgumentTypeError for another."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,199}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r}: use letters, digits and . _ - only.")
    return text


def folder_of_request(uri: str) -> str:
    """Return the folder of a request, where the report goes as well."""
    folder, _, file = uri.rpartition("/")
    if file != REQUEST_FILE or not folder:
        raise argparse.ArgumentTypeError(f"{uri!r} does not end with /{REQUEST_FILE}.")
    return folder


@command
def main() -> int:
    """Run the command line of this process."""
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.on_signal)
    try:
        settings = Settings.from_env(os.environ)
        # Every dbt process that is started here gets the same variables, because dbt parses the
        # project again when they differ.
        os.environ |= settings.as_environment()
        return run(sys.argv[1:] or ["build"], settings, stop)
    except KeyboardInterrupt:
        return 128 + stop.signal


if __name__ == "__main__":
    sys.exit(main())
