"""`python -m include.build.container COMMAND`: what the dbt image runs (its entry point).

build [--run-id ID]   all that a run of the DAG does, for Step Functions or by hand; with
                      --full-refresh incremental models are rebuilt whole
follow --request URI  the part of a run that Airflow asks for in the file of this URI
dbt …                 a command line of dbt, which Cosmos sends

Each tells how it goes below the setting DOCS, see this package's docstring. Exit codes: 0, good; 1,
a node or a test failed, or there is something to mend; 2, the command line is wrong; 75, try again
later; 128 + n, stopped by signal n. With `follow` a node that failed is no error: its run tells it.
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
from include.build.container import ARTIFACTS, FINGERPRINT, REQUEST, TRY_AGAIN, commands
from include.build.container.reports import Report, Result
from include.command import command
from include.object_store import open_documents
from include.settings import Settings, UserError
from include.warehouse.build_lock import LockedError, LockLostError

STOP_SECONDS = 15.0
"""How long dbt may take to cancel its queries; the rest of the grace is for the artifacts."""
REPORT_SECONDS = 10.0
"""And how long the report may take after that, if S3 does not answer."""
RUN_ID = "AIRFLOW_CTX_DAG_RUN_ID"
"""The variable of Airflow's that says for which run a container works."""


class Stop:
    """What becomes of SIGTERM and SIGINT: dbt is interrupted, and the report comes anyway."""

    def __init__(self) -> None:
        self.signal = 0
        self.report: Report | None = None
        self.run_id = ""
        self.is_ending = False

    def hear(self, number: int, _: FrameType | None) -> None:
        """The handler; the first signal interrupts, others are heard no more.

        What has ended reports to its end: without `result.json` nobody would know of it.
        """
        if self.signal:
            return
        self.signal = number
        print(f"Stopping, by signal {number}.", flush=True)
        threading.Thread(target=self.insist, daemon=True).start()
        if not self.is_ending:
            raise KeyboardInterrupt

    def insist(self) -> None:
        """End the process with what there is, if dbt does not."""
        time.sleep(STOP_SECONDS)
        if self.report:
            closing = threading.Thread(target=self.report.close, args=(self.result(),), daemon=True)
            closing.start()
            closing.join(REPORT_SECONDS)
        os._exit(128 + self.signal)

    def result(self) -> Result:
        """How a run ends that was stopped."""
        name = signal.Signals(self.signal).name
        message = f"stopped by {name}: what was not built yet is as it was"
        return Result(self.run_id, "stopped", message, 128 + self.signal)


def run(words: Sequence[str], settings: Settings, stop: Stop) -> int:
    """Run a command and report; returns the exit code."""
    asked = arguments(words)
    root = asked.root or f"{settings.docs}/runs/{file_name(asked.run_id)}/{asked.command}"
    stop.run_id = asked.run_id
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as target:
        report = stop.report = Report(open_documents(root), Path(target))
        try:
            check_project()
            if asked.command == "build":
                result = commands.build_all(
                    settings, asked.run_id, report, full_refresh=asked.full_refresh
                )
            elif asked.command == "follow":
                result = commands.follow(settings, report)
            else:
                result = commands.dbt(settings, asked.words, report, os.environ.get(RUN_ID, ""))
        except KeyboardInterrupt:
            result = stop.result()
        except UserError as error:
            # dbt's parse, for one, fails of an interrupt; who lost the lock interrupts itself.
            if stop.signal and not isinstance(error, LockedError | LockLostError):
                result = stop.result()
            else:
                again = isinstance(error, LockedError)
                result = failure(asked.run_id, str(error), again=again)
        except Exception as error:  # noqa: BLE001
            # A bug, too, must be told where people look.
            traceback.print_exc()
            result = failure(asked.run_id, f"{type(error).__name__}: {error}", again=False)
        stop.is_ending = True
        report.close(result)
    if report.problem and not result.exit_code:
        print(f"error: built, but not all of it could be told: {report.problem}", file=sys.stderr)
        return 1
    return result.exit_code


def check_project() -> None:
    """The image holds the dbt project of the DAG that asks; raises UserError if it does not."""
    own = manifest.FINGERPRINT.read_text().strip() if manifest.FINGERPRINT.is_file() else ""
    if os.environ.get(FINGERPRINT, own) != own:
        raise UserError(
            "the image holds another dbt project than the DAG: `make push`, then deploy "
            "include/aws/build.yaml with the ImageUri that it prints."
        )


def failure(run_id: str, message: str, *, again: bool) -> Result:
    """How a run ends that dbt could not come to the end of."""
    code = TRY_AGAIN if again else commands.exit_code([message])
    return Result(run_id, "error", message, code)


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """`command`, `run_id`, `root` (where to report; empty for the usual place), dbt's `words`."""
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    own = os.environ.get(RUN_ID) or f"{socket.gethostname()}-{started}"
    if words[:1] == ["dbt"]:
        root = os.environ.get(ARTIFACTS, "")
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
    build.set_defaults(root="")
    follow = kinds.add_parser("follow")
    follow.add_argument("--request", type=folder_of_request, required=True, dest="root")
    follow.set_defaults(run_id=own)
    return parser.parse_args(words)


def file_name(text: str) -> str:
    """A run's id as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).strip(".") or "_"


def name(text: str) -> str:
    """A run id that can be the name of a folder."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,199}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r}: use letters, digits and . _ - only.")
    return text


def folder_of_request(uri: str) -> str:
    """Where a request lies, and the answers to it."""
    folder, _, file = uri.rpartition("/")
    if file != REQUEST or not folder:
        raise argparse.ArgumentTypeError(f"{uri!r} does not end with /{REQUEST}.")
    return folder


@command
def main() -> int:
    """Run the command line of this process."""
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.hear)
    try:
        settings = Settings.from_env(os.environ)
        # As each dbt that is started here has them: it parses anew for other variables.
        os.environ |= settings.as_environment()
        return run(sys.argv[1:] or ["build"], settings, stop)
    except KeyboardInterrupt:
        return 128 + stop.signal


if __name__ == "__main__":
    sys.exit(main())
