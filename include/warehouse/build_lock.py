"""`python -m include.warehouse.build_lock keep|free|during`: the build lock of a warehouse.

The build lock lets one run build in a warehouse at a time, whether Airflow, the state machine or
`make build` started the run: two runs at once would replace each other's days and rows. The lock is
a row of the table `operations.build_lock` on Redshift. So every process that can build can also
reach the lock, and builds with another schema prefix have a lock of their own. DuckDB needs no
lock, because only one process at a time can open its file for writing.

The lock is a lease: it expires unless it is renewed.

- A run takes it in its first step for `LEASE_MINUTES` (`taken`).
- The process in which dbt builds all nodes renews it every `RENEW_SECONDS`, each time for
  `RENEWED_MINUTES` (`renewed`). A task that builds a single node takes it for `LEASE_MINUTES` again
  (`keep`).
- The run's last step frees it (`give_back`).

If a run is killed, its lock expires and the next run takes it over. If a run that still builds
loses its lock, its next renewal raises LockLostError, which ends the build.

A run is identified by its run id alone. Two Airflows that build in one warehouse need a schema
prefix each, because their scheduled runs have equal ids.
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
"""How long a run holds the lock while no process renews it: between two tasks, before a retry, and
while a worker builds a single node. It is longer than the statement timeout in
`include/aws/bootstrap.sql`."""
RENEWED_MINUTES = 15
"""How long the lock lasts after a renewal. A renewal may wait long on a busy cluster."""
RENEW_SECONDS = 30.0
"""The time between two renewals."""
SPARE_SECONDS = 60.0
"""How long before the lock expires a process that cannot renew it stops its build."""


class LockedError(UserError):
    """Another run holds the build lock. The remedy is to wait for its end."""


class LockLostError(UserError):
    """The run lost the build lock, or its days were replaced, so it must not go on."""


@contextmanager
def taken(
    database: Database, settings: Settings, run_id: str, minutes: int = LEASE_MINUTES
) -> Iterator[None]:
    """Take the lock for the first step of a run; free it if the block raises an error.

    Without a renewal the lock expires after `minutes`. The schema `operations` must exist. Raises
    LockedError while another run holds the lock.
    """
    if settings.target == "local":
        yield
        return
    database.execute(
        f"create table if not exists {_table(settings)} "
        "(run_id varchar(1024), renewed_at timestamp, expires_at timestamp)"
    )
    if expired := _take(database, settings, run_id, minutes):
        logger.warning("The build lock of %s has expired: this run takes it over.", expired)
    try:
        yield
    except BaseException:
        with suppress(UserError):
            free(database, settings, run_id)
        raise


def _take(database: Database, settings: Settings, run_id: str, minutes: int) -> str:
    """Take the lock, or extend it if the run holds it already.

    Returns the id of the other run whose expired lock was taken over, or an empty text.
    """
    if settings.target == "local":
        return ""
    table = _table(settings)
    with database.transaction():
        # The first statement, because it waits for other runs: a transaction reads the rows as
        # they are after its first statement.
        database.execute(f"lock table {table}")
        found = database.rows(f"select run_id, expires_at, expires_at > getdate() from {table}")
        for other, until, is_alive in found:
            if other != run_id and is_alive:
                raise LockedError(
                    f"{other} builds in this warehouse and holds the build lock until "
                    f"{until:%H:%M} UTC, or longer if it renews the lock: wait for its end, then "
                    "start again."
                )
        database.execute(f"delete from {table}")
        database.execute(
            f"insert into {table} select ?, getdate(), dateadd(minute, {minutes}, getdate())",
            [run_id],
        )
    return next((other for other, _, _ in found if other != run_id), "")


def keep(database: Database, settings: Settings, run_id: str, minutes: int = LEASE_MINUTES) -> bool:
    """Take or extend the lock for a later step of a run.

    Returns whether the run's days are all touched days, and not requested dates. Raises LockedError
    while another run holds the lock, LockLostError if another run has replaced the run's days.
    """
    expired = _take(database, settings, run_id, minutes)
    run = database.rows(f"select run_id, is_whole from {settings.schema_prefix}operations.run")
    if not run or run[0][0] != run_id:
        other = expired or (run[0][0] if run else "") or "a build without Airflow"
        free(database, settings, run_id)
        raise LockLostError(
            f"the days of this run were replaced by those of {other}: "
            "clear the task partitions with everything downstream, or start a new run."
        )
    return bool(run[0][1])


def renew(database: Database, settings: Settings, run_id: str) -> None:
    """Extend the lock of a run by `RENEWED_MINUTES` from now, if that is longer than it lasts.

    A lock that was freed is not taken again, because a renewal may run after the build's end.
    Raises LockLostError if the run does not hold the lock.
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
        reason = f"{found[0][0]} now holds the build lock" if found else "its build lock was freed"
        raise LockLostError(
            f"this run must not build any more, because {reason}: start a new run, or clear the "
            "task partitions with everything downstream."
        )


def free(database: Database, settings: Settings, run_id: str) -> None:
    """Free the lock of a run. The lock of another run stays."""
    if settings.target == "local":
        return
    table = _table(settings)
    with database.transaction():
        database.execute(f"lock table {table}")
        database.execute(f"delete from {table} where run_id = ?", [run_id])


def give_back(settings: Settings, run_id: str, minutes: int) -> None:
    """Free the lock at a run's end, and print an error instead of raising it.

    An error here must not replace the outcome of the run. A run whose first step failed holds no
    lock, and may have failed because of the warehouse itself. `minutes` is the time after which a
    lock that cannot be freed expires.
    """
    if settings.target == "local":
        return
    try:
        with open_database(settings) as database:
            free(database, settings, run_id)
    except UserError as error:
        print(f"The build lock could not be freed; it expires in {minutes} minutes: {error}")


@contextmanager
def renewed(
    settings: Settings,
    run_id: str,
    on_lost: Callable[[str], None],
    minutes: int = LEASE_MINUTES,
) -> Iterator[None]:
    """Renew the lock of a run while the block builds.

    If the lock is lost, or is about to expire because it could not be renewed, another thread calls
    `on_lost` once with the reason. After the block the lock lasts for `minutes`, for the next tasks
    of the run. Raises LockedError if another run holds the lock, LockLostError if this run lost it.
    """
    if settings.target == "local":
        yield
        return
    with open_database(settings) as database:
        keep(database, settings, run_id, RENEWED_MINUTES)
    renewal = Renewal(settings, run_id, on_lost)
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
        # The build itself succeeded, and the lock still lasts until its last renewal expires.
        logger.warning("The build lock could not be extended: %s", error)


class Renewal:
    """Renews the lock of a run in a thread, until `end` is called or the lock is lost."""

    def __init__(self, settings: Settings, run_id: str, on_lost: Callable[[str], None]) -> None:
        self.settings = settings
        self.run_id = run_id
        self.on_lost = on_lost
        self.reason = ""
        self.ended = threading.Event()
        self.renewed_at = time.monotonic()
        # Two threads, because an attempt to connect may block for minutes.
        for work in (self.renew, self.watch):
            threading.Thread(target=work, daemon=True).start()

    def renew(self) -> None:
        """Renew the lock every `RENEW_SECONDS`."""
        while not self.ended.wait(RENEW_SECONDS):
            started_at = time.monotonic()
            try:
                with open_database(self.settings) as database:
                    renew(database, self.settings, self.run_id)
                self.renewed_at = started_at
            except LockLostError as error:
                self.report_lost(str(error))
            except UserError as error:
                logger.warning("The build lock could not be renewed: %s", error)

    def watch(self) -> None:
        """Report the lock as lost before it expires, if it was not renewed for too long."""
        limit = RENEWED_MINUTES * 60 - SPARE_SECONDS
        while not self.ended.wait(1):
            if time.monotonic() > self.renewed_at + limit:
                self.report_lost(f"the build lock could not be renewed for {limit:.0f} seconds")

    def report_lost(self, reason: str) -> None:
        """Call `on_lost` with the reason, unless the renewal has ended."""
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()
            self.on_lost(reason)

    def end(self) -> None:
        """Stop renewing. Raises LockLostError, in place of any other error, if it was lost."""
        self.ended.set()
        if self.reason:
            raise LockLostError(self.reason) from None


def during(settings: Settings, run_id: str, command: Sequence[str]) -> int:
    """Run a program while the lock is renewed, and return its exit code.

    If the lock is lost, the program receives SIGINT. Raises LockedError if another run holds the
    lock, LockLostError if this run lost it.
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
                # Ctrl-C sends SIGINT to the program as well: wait until it has ended.
                continue
    # A shell reports the end by a signal in this way; a negative number is no exit code.
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _table(settings: Settings) -> str:
    return f"{settings.schema_prefix}operations.build_lock"


@command
def main() -> int:
    """Extend the lock for one step, renew it while a program runs, or free it."""
    parser = argparse.ArgumentParser(prog="python -m include.warehouse.build_lock")
    parser.add_argument(
        "action",
        choices=("keep", "free", "during"),
        help="take or extend the lock, free it, or renew it while a program runs",
    )
    parser.add_argument("--run-id", required=True, help="the id of the run that builds")
    parser.add_argument("command", nargs="*", help="the program of `during`, after --")
    options = parser.parse_intermixed_args()
    settings = Settings.from_env(os.environ)
    if options.action == "during":
        return during(settings, options.run_id, options.command)
    if settings.target == "local":
        return 0
    if options.action == "free":
        give_back(settings, options.run_id, LEASE_MINUTES)
        return 0
    with open_database(settings) as database:
        keep(database, settings, options.run_id)
    return 0


if __name__ == "__main__":
    sys.exit(main())
