"""One `make run` in which every kind of fault strikes, each of them another model.

The warehouse holds the rows of a build before; a late day has arrived since. Most faults are the
stand-in's. Two are real, and need the run to be followed: a file of another type, which arrives
after the listing and goes before the retry, and a password that is rotated while dbt has one node
left that logs in. For that one a lock holds the node above it until all others have ended.

dbt logs in once more when it ends. With the old password that breaks `dbt_build` itself: its second
try builds with the new one what is left, and finds the wrong file.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from include.manifest import Manifest
from tests.pipeline.checkout import states
from tests.redshift.cluster_process import ClusterProcess

SECONDS = 1800
"""How long the run may take."""


@dataclass(frozen=True)
class Case:
    """A fault that strikes a model once: `match` finds the statement; empty: the run does it.

    `said` are the warehouse's words and `do` the remedy's, in the log of the model's task.
    """

    fault: str
    table: str
    match: str
    said: str
    do: str

    @property
    def task(self) -> str:
        """The task of the model."""
        return self.table.partition(".")[2]


WRONG_TYPE = "int_lake_days"
HELD = "snap_ledger_players"
"""Has no test, and one node below it: the only one that logs in once it is let go."""
CASES = (
    Case(
        "serializable_conflict",
        "marts.rpt_daily_kpis",
        r'alter table "analytics"."marts"."rpt_daily_kpis__dbt_tmp" rename',
        "1023",
        "another transaction wrote the same table: clear the task",
    ),
    Case(
        "disk_full",
        "marts.rpt_retention_overall",
        r'insert into "analytics"."marts"."rpt_retention_overall__dbt_tmp"',
        "Disk Full",
        "the cluster is full: free space",
    ),
    Case(
        "statement_timeout",
        "marts.rpt_betting",
        r'insert into "analytics"."marts"."rpt_betting__dbt_tmp"',
        "cancelled on user's request",
        "clear the task, or raise the timeout",
    ),
    Case(
        # Between the deletion of a day's rows and the end of the transaction.
        "drop_connection",
        "marts.fct_quarantined_events",
        r'insert into "analytics"."marts"."fct_quarantined_events"',
        "server socket closed",
        "the connection to the warehouse was lost",
    ),
    Case(
        "permission_denied",
        "intermediate.int_marketing_spend",
        r'create\s+table\s+"analytics"."intermediate"."int_marketing_spend__dbt_tmp"',
        "permission denied",
        "bootstrap.sql says what it needs",
    ),
    Case(
        "file_vanishes",
        "marts.dim_games",
        r'insert into "analytics"."marts"."dim_games__dbt_tmp"',
        "Spectrum Scan Error",
        "clear the task partitions and its downstream, whose error names the file",
    ),
    Case(
        "file_of_another_type",
        f"intermediate.{WRONG_TYPE}",
        "",
        "Spectrum Scan Error",
        "clear the task partitions and its downstream, whose error names the file",
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
    """Injects the faults, and follows the run: `output` is what it has printed.

    `old`, `struck` and `new` are the rows of each case's table, by task: before the run, as soon as
    its task waits for its retry, and after the run. `arrive` and `leave` are called for the wrong
    file, `rotate` for the password.
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
        """Start the run and follow it to its end; its exit code."""
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
                        # Its retry would wait for dbt, and dbt for what is held.
                        process.terminate()
                    if task in tables and state == "up_for_retry":
                        self.struck.setdefault(task, self.cluster.rows(tables[task]))
                    if (task, state) == (WRONG_TYPE, "up_for_retry"):
                        self.leave()
                    if (task, state) == ("freshness", "success"):
                        # Not before: the stand-in reads every table for it, and dbt takes seconds
                        # to begin.
                        session.execute(f"lock table snapshots.{HELD}")
                    waited_for.discard(task)
                if not rotated and not waited_for and not self.cluster.faults():
                    # dbt has no other node left to log in for, and no task has begun its retry.
                    rotated = True
                    self.arrive()
                    self.rotate()
                    session.execute("rollback")
        self.new = {case.task: self.cluster.rows(case.table) for case in CASES}
        return process.returncode

    def undisturbed(self) -> set[str]:
        """The tasks of the nodes that no fault concerns, neither at them nor above them."""
        struck = {HELD, *(case.task for case in CASES)}
        return {
            self.manifest.task_id(node)
            for node in self.manifest.built
            if struck.isdisjoint(self._names([node, *self.manifest.ancestors(node)]))
        }

    def _names(self, unique_ids: Iterable[str]) -> set[str]:
        return {self.manifest.task_id(node) for node in unique_ids if node in self.manifest.nodes}
