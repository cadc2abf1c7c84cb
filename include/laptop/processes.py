"""Processes of a laptop's commands: started, signalled, and ended with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from include.settings import ROOT, Settings, UserError

SESSION = "LAPTOP_AIRFLOW_SESSION"
"""An environment variable that all processes of one start inherit, dbt's too: Cosmos puts dbt into
a session of its own, so no process group holds them all."""
STOP_SECONDS = 8


class StopError(Exception):
    """A signal asked us to end; `args[0]` is its number."""


def stop_on_signals() -> None:
    """Raise StopError in the main thread for each signal that asks us to end."""

    def stop(number: int, _: object) -> None:
        raise StopError(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def ignore_signals() -> None:
    """Take no more orders to end: we are at it, and it takes seconds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def in_dbt_environment(settings: Settings, *arguments: str) -> None:
    """Run `python -m …` of dbt's environment in this terminal, and end it if we are stopped.

    Raises UserError if it fails, without a text: the program has said what is wrong.
    """
    command = [str(Path(settings.dbt_executable).with_name("python")), "-m", *arguments]
    try:
        # Its own session: a Ctrl-C reaches us alone, and we pass it on.
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **settings.as_environment(), "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
    except OSError:
        raise UserError(f"{command[0]} does not run: `make install`.") from None
    try:
        code = process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
    if code:
        raise UserError("")


def stop_session(session: str) -> None:
    """End all processes that carry this session's mark: asked first, then killed."""
    for ask, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        until = time.monotonic() + seconds
        asked: set[int] = set()
        while time.monotonic() < until:
            alive = list(_marked(session))
            if not alive:
                return
            for process in alive:
                # One that started while we asked the others is asked in the next round.
                if process.pid not in asked:
                    asked.add(process.pid)
                    _signal(process, ask)
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
