"""Starts and ends the processes of a laptop's commands, and handles signals."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from include.remedies import KILLED, killed
from include.settings import ROOT, Settings, UserError

SESSION = "LAPTOP_AIRFLOW_SESSION"
"""An environment variable that all processes of one start inherit. It finds them all, unlike a
process group: Cosmos starts dbt in a session of its own."""
STOP_SECONDS = 8
"""How long processes may take to end after SIGTERM, and after SIGKILL."""


class StopError(Exception):
    """The command received a signal to end; `args[0]` is the signal's number."""


def stop_on_signals() -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise StopError in the main thread."""

    def stop(number: int, _: object) -> None:
        raise StopError(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def ignore_signals() -> None:
    """Ignore further signals while the command ends, which takes seconds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def in_dbt_environment(settings: Settings, *arguments: str) -> None:
    """Run `python -m …` of dbt's environment in this terminal; ends it if this command is stopped.

    Raises a UserError without a text if the program fails, because it has printed its own error. A
    program that was killed has printed none, so the UserError has a text.
    """
    command = [str(Path(settings.dbt_executable).with_name("python")), "-m", *arguments]
    try:
        # In a session of its own, so that Ctrl-C reaches only this process, which passes it on.
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **settings.as_environment(), "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
    except OSError:
        raise UserError(f"{command[0]} does not run: run `make install`.") from None
    try:
        code = process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
    if code in KILLED:
        raise UserError(killed(" ".join(arguments[:1])))
    if code:
        raise UserError("")


def stop_session(session: str, term_seconds: float = STOP_SECONDS) -> None:
    """End all processes with this mark: by SIGTERM, and those that then remain by SIGKILL."""
    for number, seconds in ((signal.SIGTERM, term_seconds), (signal.SIGKILL, STOP_SECONDS)):
        until = time.monotonic() + seconds
        signalled: set[int] = set()
        while time.monotonic() < until:
            alive = list(_marked(session))
            if not alive:
                return
            for process in alive:
                # A process that starts during this round gets its signal in the next one.
                if process.pid not in signalled:
                    signalled.add(process.pid)
                    _signal(process, number)
            time.sleep(0.1)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _marked(session: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if (
                process.pid != os.getpid()
                and process.environ().get(SESSION) == session
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
