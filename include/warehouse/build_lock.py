"""`python -m include.warehouse.build_lock keep|free|during`: one build at a time in a warehouse.

Airflow, the state machine and `make build` share one lock. It is a row of `operations.build_lock`
on Redshift, beside the days that a build works on: who can build can reach it, and builds with
another schema prefix have another. It is a lease: a run takes it with its first step and gives it
back with its last, and as long as its dbt builds all nodes, that process renews it. What a dead run
has left expires, and the next run takes it over. A run that lost its lock meanwhile finds out with
its next renewal, and stops. A run is known by its id: two Airflows that build in one warehouse need
a schema prefix each, for their scheduled runs have the same ids.

DuckDB needs none: its file has one writer.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from include.command import command
from include.settings import Settings, UserError
from include.warehouse.database import Database, open_database

logger = logging.getLogger(__name__)

LEASE_MINUTES = 90
"""For how long a run has the lock while nothing renews it: between tasks, before a retry, while a
worker builds a node alone. Longer than a statement may take (`include/aws/bootstrap.sql`)."""
RENEWED_MINUTES = 15
"""How long the lock outlives a process that renews it; a renewal may queue on a busy cluster."""
RENEW_SECONDS = 30.0
"""How often that process does."""
SPARE_SECONDS = 60.0
"""How long before the lock's end a process that cannot renew it stops building."""


class LockedError(UserError):
    """Another run builds: what to do is to wait."""


class LockLostError(UserError):
    """The run that wants to go on is no longer the one that may."""


@contextmanager
def taken(
    database: Database, settings: Settings, run_id: str, minutes: int = LEASE_MINUTES
) -> Iterator[None]:
    """Take the lock for a run that begins, or keep it; given back only if the block fails.

    It lasts so many minutes from then on, if nothing renews it. The schema `operations` must be
    there. Raises LockedError while another run has the lock.
    """
    if settings.target == "local":
        yield
        return
    database.execute(
        f"create table if not exists {_table(settings)} "
        "(run_id varchar(1024), renewed_at timestamp, expires_at timestamp)"
    )
    if expired := _take(database, settings, run_id, minutes):
        logger.warning("%s has left the build's lock behind: taken over.", expired)
    try:
        yield
    except BaseException:
        with suppress(UserError):
            free(database, settings, run_id)
        raise


def _take(database: Database, settings: Settings, run_id: str, minutes: int) -> str:
    """Take or keep the lock; returns whose it was if it had expired."""
    if settings.target == "local":
        return ""
    table = _table(settings)
    with database.transaction():
        # First of all: a snapshot taken before the lock would not see who came before us.
        database.execute(f"lock table {table}")
        found = database.rows(f"select run_id, expires_at, expires_at > getdate() from {table}")
        for other, until, is_alive in found:
            if other != run_id and is_alive:
                raise LockedError(
                    f"{other} builds in this warehouse, and has the lock until {until:%H:%M} UTC "
                    "unless it renews it: wait for its end, then start again."
                )
        database.execute(f"delete from {table}")
        database.execute(
            f"insert into {table} select ?, getdate(), dateadd(minute, {minutes}, getdate())",
            [run_id],
        )
    return next((other for other, _, _ in found if other != run_id), "")


def keep(database: Database, settings: Settings, run_id: str, minutes: int = LEASE_MINUTES) -> bool:
    """Take the lock, or keep it, for a run that goes on; returns whether its days are all there is.

    Raises LockedError while another run has it, LockLostError if another one has begun since.
    """
    took = _take(database, settings, run_id, minutes)
    run = database.rows(f"select run_id, is_whole from {settings.schema_prefix}operations.run")
    if not run or run[0][0] != run_id:
        other = took or (run[0][0] if run else "") or "a build without Airflow"
        free(database, settings, run_id)
        raise LockLostError(
            f"the days of this run were replaced by those of {other}: "
            "clear the task partitions with everything downstream, or start a new run."
        )
    return bool(run[0][1])


def renew(database: Database, settings: Settings, run_id: str) -> None:
    """Let a run that has the lock have it a while longer, never a shorter one.

    What was given back meanwhile is not taken again: a renewal may come late. Raises LockLostError
    if it is no longer this run's.
    """
    table = _table(settings)
    with database.transaction():
        database.execute(f"lock table {table}")
        database.execute(
            f"update {table} set renewed_at = getdate(), expires_at = "
            f"greatest(expires_at, dateadd(minute, {RENEWED_MINUTES}, getdate())) where run_id = ?",
            [run_id],
        )
        found = database.rows(f"select run_id from {table}")
    if (run_id,) not in found:
        other = found[0][0] if found else "nobody"
        raise LockLostError(
            f"the lock of this run is now {other}'s: start a new run, or clear the task partitions "
            "with everything downstream."
        )


def free(database: Database, settings: Settings, run_id: str) -> None:
    """Give the lock back; one that is another run's stays."""
    if settings.target == "local":
        return
    table = _table(settings)
    with database.transaction():
        database.execute(f"lock table {table}")
        database.execute(f"delete from {table} where run_id = ?", [run_id])


def give_back(settings: Settings, run_id: str, minutes: int) -> None:
    """Free the lock at a run's end, if that can be: how the run ended must not be hidden by it.

    A run whose first step failed has none, and its warehouse may be what failed. What cannot be
    given back expires in so many minutes.
    """
    if settings.target == "local":
        return
    try:
        with open_database(settings) as database:
            free(database, settings, run_id)
    except UserError as error:
        print(f"The lock could not be given back; it expires in {minutes} minutes: {error}")


@contextmanager
def renewed(
    settings: Settings,
    run_id: str,
    lost: Callable[[str], None],
    minutes: int = LEASE_MINUTES,
) -> Iterator[None]:
    """Renew the lock of a run while the block builds; `lost` is told, once, why it no longer may.

    Calls `lost` from another thread, also when the lock could not be renewed for so long that it is
    about to expire. After the block the lock lasts so many minutes, for what else the run has to
    do. Raises LockedError or LockLostError if the run may not begin or go on.
    """
    if settings.target == "local":
        yield
        return
    with open_database(settings) as database:
        keep(database, settings, run_id, RENEWED_MINUTES)
    renewal = Renewal(settings, run_id, lost)
    try:
        yield
    except BaseException:
        renewal.end()
        with suppress(UserError), open_database(settings) as database:
            keep(database, settings, run_id, minutes)
        raise
    renewal.end()
    try:
        with open_database(settings) as database:
            keep(database, settings, run_id, minutes)
    except (LockedError, LockLostError):
        raise
    except UserError as error:
        # What is built stays built: the lock only expires sooner.
        logger.warning("The lock could not be kept: %s", error)


class Renewal:
    """Renews a lock in the background until `end`."""

    def __init__(self, settings: Settings, run_id: str, lost: Callable[[str], None]) -> None:
        self.settings = settings
        self.run_id = run_id
        self.lost = lost
        self.reason = ""
        self.ended = threading.Event()
        self.renewed_at = time.monotonic()
        # Apart: an attempt to connect may hang for minutes.
        for work in (self.renew, self.watch):
            threading.Thread(target=work, daemon=True).start()

    def renew(self) -> None:
        """Renew, again and again."""
        while not self.ended.wait(RENEW_SECONDS):
            asked = time.monotonic()
            try:
                with open_database(self.settings) as database:
                    renew(database, self.settings, self.run_id)
                self.renewed_at = asked
            except LockLostError as error:
                self.lose(str(error))
            except UserError as error:
                logger.warning("The lock could not be renewed: %s", error)

    def watch(self) -> None:
        """Stop the build while the lock still lasts."""
        limit = RENEWED_MINUTES * 60 - SPARE_SECONDS
        while not self.ended.wait(1):
            if time.monotonic() > self.renewed_at + limit:
                self.lose(f"the lock could not be renewed for {limit:.0f} seconds")

    def lose(self, reason: str) -> None:
        """Tell once why this run may not go on."""
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()
            self.lost(reason)

    def end(self) -> None:
        """Renew no more; raises LockLostError if the lock was lost, whatever else went wrong."""
        self.ended.set()
        if self.reason:
            raise LockLostError(self.reason) from None


def during(settings: Settings, run_id: str, command: Sequence[str]) -> int:
    """Run a program, which a lost lock interrupts; its exit code.

    Raises LockedError or LockLostError if the run may not begin or go on.
    """
    lost = threading.Event()
    with renewed(settings, run_id, lambda _: lost.set()):
        process = subprocess.Popen(command)
        while process.poll() is None:
            try:
                if lost.wait(0.2):
                    process.send_signal(signal.SIGINT)
                    process.wait()
            except KeyboardInterrupt:
                # The program was told as well, and ends in its own time.
                continue
    return process.returncode


def _table(settings: Settings) -> str:
    return f"{settings.schema_prefix}operations.build_lock"


@command
def main() -> int:
    """Keep the lock for a step that another program runs, or while one runs, or give it back."""
    parser = argparse.ArgumentParser(prog="python -m include.warehouse.build_lock")
    parser.add_argument("action", choices=("keep", "free", "during"))
    parser.add_argument("--run-id", required=True)
    parser.add_argument("command", nargs="*", help="what runs meanwhile, behind --")
    asked = parser.parse_intermixed_args()
    settings = Settings.from_env(os.environ)
    if asked.action == "during":
        return during(settings, asked.run_id, asked.command)
    if settings.target == "local":
        return 0
    if asked.action == "free":
        give_back(settings, asked.run_id, LEASE_MINUTES)
        return 0
    with open_database(settings) as database:
        keep(database, settings, asked.run_id)
    return 0


if __name__ == "__main__":
    sys.exit(main())
