"""The alert of a task that failed for good, and the alert of a run that is late."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.engine_text import without_values
from include.messages import Row
from include.settings import ROOT, Settings

logger = logging.getLogger(__name__)

SQL_LENGTH = 10_000
"""The characters of a problem's SQL in an alert. The file that the alert names has all of it."""
ERROR_LENGTH = 5_000
"""The characters of the errors in an alert, so that the lines after them still fit into it."""
SNS_LENGTH = 20_000
"""The characters of an alert. SNS accepts 256 kB, and a character takes at most 12 bytes as escaped
JSON."""
SNS_SECONDS = 5
"""How long SNS may take to accept the connection, and to answer, in each of two attempts."""
INCLUDE = ROOT / "include"
"""The folder of this package's own code."""
LATE = """Run {run} of DAG {dag} has not ended {minutes} minutes after its logical date.
The run continues. Find out what it waits for: a task that takes long, a task that waits for its
retry, or a worker or triggerer that is not running."""


class ReportedElsewhereError(AirflowFailException):
    """A task failed because another one did, whose alert is enough: no retry and no alert."""


@dataclass(frozen=True)
class ExplainedProblem:
    """A problem as a log and an alert show it.

    `what` names what failed, `message` is dbt's. `file` is the project's file to repair, `sql` the
    file with the compiled SQL. Each is empty if there is none.
    """

    what: str = "-"
    message: str = ""
    remedy: str = ""
    file: str = ""
    sql: str = ""
    rows: Sequence[Row] = ()

    @property
    def text(self) -> str:
        """The problem in a few lines, with its rows, for the task's log."""
        rows = (", ".join(f"{name}={value}" for name, value in row.items()) for row in self.rows)
        return "\n".join([*self._lines(self.message), *(f"  row:  {row}" for row in rows)])

    def alert_text(self, lake: str) -> str:
        """The problem in a few lines without a value of the data, for an alert."""
        lines = self._lines(self.masked_message(lake))
        if self.rows:
            columns = ", ".join(self.rows[0])
            lines.append(f"  rows: {len(self.rows)} are in the log, with {columns}")
        return "\n".join(lines)

    def masked_message(self, lake: str) -> str:
        """dbt's message without a value; it keeps the names that the alert shows anyway."""
        shown = " ".join((self.what, self.file, self.sql, self.read_sql()))
        return without_values(self.message, shown=shown, lake=lake)

    def _lines(self, message: str) -> list[str]:
        lines = [f"{self.what}: {message}" if message else self.what]
        lines += [f"  do:   {self.remedy}."] if self.remedy else []
        lines += [f"  file: {self.file}"] if self.file else []
        lines += [f"  SQL:  {self.sql}"] if self.sql else []
        return lines

    def read_sql(self) -> str:
        """Return the compiled SQL; empty if there is none, or if its file is on another worker."""
        try:
            return (ROOT / self.sql).read_text(errors="replace") if self.sql else ""
        except OSError:
            # The alert is sent without the SQL: the file may be on another worker, or deleted.
            return ""


@dataclass(frozen=True)
class Alert:
    """A task that failed for good. `tries` counts its tries, `log` is the address of its log.

    An alert may leave the company, so it holds no value of a file or a table. `error` is therefore
    masked, unless the error is a sentence of this package. `lake` is the address of the lake: the
    paths of its files are not masked.
    """

    dag: str
    run: str
    task: str
    tries: int
    model: str
    owner: str
    error: str
    problems: Sequence[ExplainedProblem]
    log: str
    lake: str = ""

    @classmethod
    def of(cls, context: Any, lake: str = "") -> Alert:
        """Make an alert from the context of a callback; what is missing there becomes `-`.

        On a worker the context is complete. If the scheduler ended the task, Airflow's DAG
        processor calls without an exception, and its task instance may lack some attributes.
        """
        task, ti = context.get("task"), context.get("ti")
        exception = context.get("exception")
        lost = "no exception: its worker was lost, or the scheduler ended it"
        return cls(
            dag=str(getattr(context.get("dag") or ti, "dag_id", "-")),
            run=str(context.get("run_id") or getattr(ti, "run_id", "-")),
            task=str(getattr(task or ti, "task_id", "-")),
            tries=getattr(ti, "try_number", 0) or 0,
            model=getattr(task, "model_file", "") or "-",
            owner=getattr(task, "owner", "") or "-",
            error=lost if exception is None else _error_text(exception, lake),
            problems=tuple(getattr(task, "problems", ()) or ()),
            log=str(getattr(ti, "log_url", "") or ""),
            lake=lake,
        )

    @property
    def subject(self) -> str:
        """The alert's subject line."""
        return f"{self.dag}: {self.task} failed ({self.owner})"

    @property
    def line(self) -> str:
        """The alert in one line, which a search in a log finds."""
        error = self.problems[0].alert_text(self.lake) if self.problems else self.error
        error = error.strip()
        return (
            f"ALERT dag={self.dag} run={self.run} task={self.task} model={self.model} "
            f"owner={self.owner} error={error.splitlines()[0] if error else 'unknown'}"
        )

    @property
    def text(self) -> str:
        """The whole alert, for an e-mail."""
        parts = [
            f"Task {self.task} of DAG {self.dag} has failed, after {self.tries} tries."
            if self.tries > 1
            else f"Task {self.task} of DAG {self.dag} has failed.",
            f"run:      {self.run}\nmodel:    {self.model}\nowner:    {self.owner}",
            cut(
                "\n".join(p.alert_text(self.lake) for p in self.problems) or self.error,
                ERROR_LENGTH,
                "log",
            ),
            f"log:      {self.log or 'in the UI'}\n"
            f"runbook:  {self.log.partition('/runs/')[0] or 'the page of the DAG'}, Dag Docs, "
            f"`{self.task if self.model == '-' else 'a node'}`",
        ]
        # The SQL comes last, because a message that is too long is cut at its end.
        parts += [
            f"SQL of {problem.what}:\n{cut(sql, SQL_LENGTH, 'file')}"
            for problem in self.problems
            if (sql := problem.read_sql())
        ]
        return "\n\n".join(parts)


def _error_text(exception: BaseException, lake: str) -> str:
    """Return the text of a task's error without a value of the data.

    Only the errors that this package raises for Airflow are sentences without values. The text of
    every other exception is masked: it comes from a library, and may quote what the library read.
    """
    text = str(exception).strip()
    frame = exception.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    is_own = frame is not None and Path(frame.tb_frame.f_code.co_filename).is_relative_to(INCLUDE)
    if text and is_own and isinstance(exception, AirflowException):
        return text
    return ": ".join(filter(None, (type(exception).__name__, without_values(text, lake=lake))))


def report_failure(topic: str, context: Any, lake: str = "") -> None:
    """Log an alert, and send it if there is a topic; Airflow calls this after the last retry.

    One problem gives one alert, because Airflow calls nothing for the downstream tasks, which are
    `upstream_failed`. This function never raises, so that the task ends as it would without it.
    Airflow would not catch an error that is no Exception, such as its own timeout.
    """
    if isinstance(context.get("exception"), ReportedElsewhereError):
        return
    try:
        alert = Alert.of(context, lake)
        logger.error("%s\n%s", alert.line, alert.text)
        if topic:
            publish(topic, alert.subject, alert.text)
    except BaseException:
        logger.exception("The alert of a failed task could not be made.")


def on_failure(settings: Settings) -> Any:
    """Return the failure callback of every task."""
    return partial(report_failure, settings.alert_topic_arn, lake=settings.lake)


def report_late_run(*, topic: str, minutes: int, context: Mapping[str, Any] | None = None) -> None:
    """Log and send an alert for a run that misses its deadline; Airflow calls this on a worker.

    Airflow 3.3.1 also calls it for a run that failed before its deadline, because it drops the
    deadline only of a run that succeeded. The failed run has had its alert already.
    """
    run = (context or {}).get("dag_run") or {}
    if run.get("state") in {"success", "failed"}:
        return
    dag_id, run_id = run.get("dag_id", "-"), run.get("dag_run_id", "-")
    text = LATE.format(run=run_id, dag=dag_id, minutes=minutes)
    logger.error("ALERT dag=%s run=%s late=%s min\n%s", dag_id, run_id, minutes, text)
    if topic:
        publish(topic, f"Late: {dag_id} {run_id}", text)


def deadline(settings: Settings) -> DeadlineAlert | None:
    """Return the alert for a run that has not ended in time, None if the setting is empty.

    The time counts from the run's logical date, which its schedule gives. It does not count from
    the moment when the run was queued, because Airflow 3.3.1 cannot clear a task of a run with such
    a deadline (`timedelta` of a serialized interval, in `models/taskinstance.py`). A run without a
    logical date, as `make run` starts it, has no deadline. A worker sends the alert, not the
    triggerer: while the triggerer is not running, every node task waits and no task fails.
    """
    if not settings.deadline_minutes:
        return None
    minutes = int(settings.deadline_minutes)
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        interval=timedelta(minutes=minutes),
        callback=SyncCallback(
            report_late_run, kwargs={"topic": settings.alert_topic_arn, "minutes": minutes}
        ),
    )


def cut(text: str, length: int, rest: str) -> str:
    """Return the text, cut to this length; a cut text ends with a line that names `rest`."""
    return text if len(text) <= length else f"{text[:length]}\n… cut here, the {rest} has the rest"


def publish(topic: str, subject: str, text: str) -> None:
    """Send an alert to the SNS topic with this ARN; an error is only logged.

    The credentials are those of the process (on AWS, its role), not those of a connection, so that
    an alert about a broken connection can be sent.
    """
    try:
        from airflow.providers.amazon.aws.hooks.sns import SnsHook
        from botocore.config import Config

        config = Config(
            connect_timeout=SNS_SECONDS,
            read_timeout=SNS_SECONDS,
            retries={"total_max_attempts": 2},
        )
        # The provider's hook has no annotations.
        hook = SnsHook(  # type: ignore[no-untyped-call]
            aws_conn_id=None, region_name=topic.split(":")[3], config=config
        )
        # SNS accepts only a subject of printable ASCII.
        ascii_only = subject.encode("ascii", "replace").decode()
        hook.publish_to_target(
            topic,
            cut(text, SNS_LENGTH, "log"),
            subject=re.sub(r"[^ -~]+", " ", ascii_only)[:100],
        )
    except Exception:
        logger.exception("The alert could not be sent to %s: %s", topic, subject)
