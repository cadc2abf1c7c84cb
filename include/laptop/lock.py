"""One command at a time: two writers never build at once in one checkout."""

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
"""Airflow's home: its database, logs and settings, the lock, and what failed tasks left behind."""


@dataclass(frozen=True)
class Holder:
    """Who holds the lock; `session` marks every process that this command started."""

    pid: int
    command: str
    session: str = ""


def holder(home: Path = HOME) -> Holder | None:
    """Who holds the lock now, or None."""
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
    """Who wrote into the lock's file last, holding it or not."""
    try:
        return Holder(**json.loads((home / "lock").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextmanager
def hold(command: str, session: str = "", home: Path = HOME) -> Iterator[None]:
    """Hold the lock. Raises UserError if somebody holds it now.

    The kernel frees it when its holder ends, however it ends. What a killed one left running is
    ended here.
    """
    home.mkdir(exist_ok=True)
    # Never truncated on opening: who holds it must stay readable.
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
