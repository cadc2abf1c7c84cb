"""`make up` and `make down`: start and stop Airflow with its UI in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from include import manifest
from include.command import command
from include.laptop import lock
from include.laptop.airflow import HOST, START_SECONDS, Airflow, clean_temporary, is_free
from include.laptop.private import keep_private
from include.laptop.processes import (
    STOP_SECONDS,
    StopError,
    ignore_signals,
    is_running,
    stop_on_signals,
    stop_session,
)
from include.settings import ROOT, Settings, UserError

PORT = 8080
READY = lock.HOME / "up.ready"
LOG = lock.HOME / "logs" / "up.log"


def serve(settings: Settings, port: int) -> int:
    """Start Airflow, write its address to `READY`, and wait for a signal or a process to end."""
    airflow = Airflow(settings, len(manifest.Manifest.read().built), port=port)
    with lock.hold("make up", airflow.session):
        clean_temporary()
        try:
            airflow.start()
            client = airflow.wait()
            client.unpause()
            client.http.close()
            READY.write_text(airflow.url)
            while True:
                airflow.check()
                time.sleep(0.5)
        except StopError:
            return 0
        finally:
            ignore_signals()
            READY.unlink(missing_ok=True)
            airflow.stop()
            clean_temporary()


def up(settings: Settings, port: int) -> int:
    """Start `serve` in the background and wait until it is ready."""
    # If another command holds the lock, this raises at once. `serve` then holds it permanently.
    with lock.hold("make up"):
        if not is_free(port):
            raise UserError(
                f"port {port} of {HOST} is in use: stop the program that listens there."
            )
        if manifest.make(settings):
            print("Made dbt/target/manifest.json")
    READY.unlink(missing_ok=True)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "include.laptop.up", "serve", str(port)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    until = time.monotonic() + 2 * START_SECONDS
    ready = False
    try:
        while not READY.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise UserError(f"Airflow did not start.\n{LOG.read_text().strip()}")
            time.sleep(0.25)
        ready = True
    finally:
        # Also after Ctrl-C, which does not reach `serve`, because that has a session of its own.
        if not ready:
            ignore_signals()
            _end(process.pid)
    print(f"Airflow is up: {READY.read_text()} (log {LOG}); `make down` stops it.")
    return 0


def down() -> int:
    """Stop what `make up` has started; no error if nothing runs."""
    holder = lock.holder()
    if holder is None:
        with lock.hold("make down"):
            print("Airflow is not running.")
        return 0
    if holder.command != "make up":
        raise UserError(f"`{holder.command}` (process {holder.pid}) runs, not `make up`.")
    _end(holder.pid)
    stop_session(holder.session)
    print("Airflow is stopped.")
    return 0


def _end(pid: int) -> None:
    """End a process by SIGTERM, or by SIGKILL if it does not end in time, and wait for its end."""
    until = time.monotonic() + 3 * STOP_SECONDS
    try:
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < until and is_running(pid):
            time.sleep(0.1)
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@command
def main() -> int:
    """Run the command."""
    command, port = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else PORT
    keep_private()
    stop_on_signals()
    try:
        if command == "down":
            return down()
        settings = Settings.from_env(os.environ)
        return serve(settings, port) if command == "serve" else up(settings, port)
    except StopError as stopped:
        print("\nStopped, with all processes that were started.", file=sys.stderr)
        return 128 + int(stopped.args[0])


if __name__ == "__main__":
    sys.exit(main())
