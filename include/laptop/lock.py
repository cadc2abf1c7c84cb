"""The lock of a checkout, so that two commands never build at the same time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from include.laptop.processes import stop_session
from include.settings import ROOT, UserError

HOME = ROOT / ".airflow"
"""Airflow's home: its database, logs and settings, the lock, and the artifacts of tasks."""


@dataclass(frozen=True)
class Holder:
    """The command that holds the lock; `session` marks all processes that it has started."""

    pid: int
    command: str
    session: str = ""


def holder(home: Path = HOME) -> Holder | None:
    """The command that holds the lock now, or None."""
    try:
        file = (home / "lock").open("r")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _last(home)
        return None


def _last(home: Path) -> Holder | None:
    """The last command that wrote into the lock's file, even if it no longer holds the lock."""
    try:
        return Holder(**json.loads((home / "lock").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextmanager
def hold(command: str, session: str = "", home: Path = HOME) -> Iterator[None]:
    """Hold the lock. Raises UserError if another command holds it.

    The kernel frees the lock when the process of its holder ends. If an earlier holder was killed,
    the processes that it has left are ended here.
    """
    home.mkdir(exist_ok=True)
    # Mode "w" would truncate the file and so remove the name of the present holder.
    with (home / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _last(home) or Holder(0, "another command")
            remedy = "`make down` stops it" if other.command == "make up" else "wait until it ends"
            raise UserError(
                f"`{other.command}` (process {other.pid}) is using this checkout: {remedy}."
            ) from None
        before = _last(home)
        if before and before.session:
            stop_session(before.session)
        file.truncate(0)
        file.write(json.dumps(Holder(os.getpid(), command, session).__dict__))
        file.flush()
        yield
