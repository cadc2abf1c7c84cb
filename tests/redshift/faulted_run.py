"""One `make run` in which four faults strike, each of them in other models.

`test_redshift_faults.py` injects every fault into a build of one model. The faults here differ in
what the DAG must do: a small model is retried, an incremental model lost its connection between the
deletion and the insertion of a day's rows, a file arrived after the listing, and the password is
rotated.

The warehouse holds the rows of an earlier build, and a late day has arrived since. The stand-in
makes two of the faults. The other two are real, and the run must be followed for them: a file of
another type arrives after the listing and is removed when its readers have failed, and the password
is rotated when only one node is left that opens a connection. A lock holds the node above that one
until all others have ended.

dbt opens one more connection when it ends. With the old password `dbt_build` itself fails. Its
second try builds what is left with the new password.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from include.manifest import Manifest
from tests.support.checkout import states
from tests.support.standin_process import ClusterProcess

SECONDS = 900
"""The seconds after which the run is terminated."""


@dataclass(frozen=True)
class Case:
    """A model that a fault strikes once, in the statement that `match` finds.

    Without `match` the run itself causes the fault. `message` and `remedy` are parts of the
    warehouse's message and of the remedy in the log of the model's task.
    """

    fault: str
    table: str
    match: str
    message: str
    remedy: str

    @property
    def task(self) -> str:
        """The task of the model."""
        return self.table.partition(".")[2]


WRONG_TYPE = ("int_bets", "int_quarantined_transactions")
"""The nodes that read the transactions of the ledger."""
HELD = "snap_ledger_players"
"""A node without tests and with one node below it, which is the only one that opens a connection
after the held node is released.
"""
CASES = (
    Case(
        "serializable_conflict",
        "intermediate.int_exchange_rates",
        r'delete from "analytics"."intermediate"."int_exchange_rates"',
        "1023",
        "another transaction wrote the same table: clear the task",
    ),
    Case(
        # The connection is lost after the deletion of a day's rows and before the commit.
        "drop_connection",
        "staging.stg_game_events",
        r'insert into "analytics"."staging"."stg_game_events"',
        "server socket closed",
        "the connection to the warehouse was lost",
    ),
    *(
        Case(
            "file_of_another_type",
            f"intermediate.{name}",
            "",
            "Spectrum Scan Error",
            "clear the task partitions and its downstream, whose error names the file",
        )
        for name in WRONG_TYPE
    ),
    Case(
        "expired_credentials",
        "marts.dim_ledger_players",
        "",
        "password authentication failed",
        "correct the secret of the connection",
    ),
)


@dataclass
class FaultedRun:
    """Injects the faults and follows the run, whose `output` it collects.

    `old`, `struck` and `new` are the rows of each case's table, by task: before the run, when the
    task waits for its retry, and after the run. `arrive` and `leave` add and remove the wrong file,
    `rotate` changes the password.
    """

    cluster: ClusterProcess
    manifest: Manifest
    arrive: Callable[[], None]
    leave: Callable[[], None]
    rotate: Callable[[], None]
    output: str = ""
    old: dict[str, list[str]] = field(default_factory=dict)
    struck: dict[str, list[str]] = field(default_factory=dict)
    new: dict[str, list[str]] = field(default_factory=dict)

    def follow(self, start: Callable[[], subprocess.Popen[str]]) -> int:
        """Start the run and follow it to its end; returns its exit code."""
        self.old = {case.task: self.cluster.rows(case.table) for case in CASES}
        tables = {case.task: case.table for case in CASES}
        for case in CASES:
            if case.match:
                self.cluster.inject(case.match, case.fault)
        waited_for, rotated = self.undisturbed(), False
        with ExitStack() as held:
            session = held.enter_context(self.cluster.session())
            process = held.enter_context(start())
            timer = threading.Timer(SECONDS, process.terminate)
            held.callback(timer.cancel)
            timer.start()
            for line in process.stdout or ():
                self.output += line
                for task, (state,) in states(line, {"freshness", *tables, *waited_for}).items():
                    if task in waited_for and state != "success":
                        # Its retry would wait for dbt, and dbt waits for the held node.
                        process.terminate()
                    if task in tables and state == "up_for_retry":
                        self.struck.setdefault(task, self.cluster.rows(tables[task]))
                    if (task, state) == ("freshness", "success"):
                        # The lock must not be taken before: the stand-in reads every table for
                        # `freshness`. dbt then first builds the nodes above the held one.
                        session.execute(f"lock table snapshots.{HELD}")
                        self.arrive()
                    waited_for.discard(task)
                have_struck = not self.cluster.faults() and self.struck.keys() >= set(WRONG_TYPE)
                if not rotated and not waited_for and have_struck:
                    # dbt opens no connection for another node, and no task has begun its retry.
                    rotated = True
                    self.leave()
                    self.rotate()
                    session.execute("rollback")
        self.new = {case.task: self.cluster.rows(case.table) for case in CASES}
        return process.returncode

    def undisturbed(self) -> set[str]:
        """The tasks of the nodes that have no fault, neither themselves nor in a node above."""
        struck = {HELD, *(case.task for case in CASES)}
        return {
            self.manifest.task_id(node)
            for node in self.manifest.built
            if struck.isdisjoint(self._names([node, *self.manifest.ancestors(node)]))
        }

    def _names(self, unique_ids: Iterable[str]) -> set[str]:
        return {self.manifest.task_id(node) for node in unique_ids if node in self.manifest.nodes}
