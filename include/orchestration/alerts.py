"""One alert, one shape: what failed, of whom, and where to look; and one for a run that is late."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowFailException

from include.settings import ROOT, Settings

logger = logging.getLogger(__name__)

SQL_LENGTH = 10_000
"""Characters of a problem's SQL in an alert; the file that it names has all of it."""
ERROR_LENGTH = 5_000
"""Characters of the errors, so that what follows them still fits into a message."""
SNS_LENGTH = 20_000
"""Characters of a message: 12 bytes each as escaped JSON at worst, of the 256 kB that SNS takes."""
SNS_SECONDS = 5
"""How long SNS may take to let us connect, and to answer, in each of two attempts."""
LATE = """Run {run} of DAG {dag} has not ended {minutes} minutes after its logical date.
It goes on. Look what it waits for: a task that runs for long, one that waits for its retry, or a
worker or triggerer that is away."""


class ToldElsewhereError(AirflowFailException):
    """A task ends for the failure of another one, whose alert is enough; it is not retried."""


@dataclass(frozen=True)
class Alert:
    """A task that failed for good.

    `problems` are those of `ExplainedDbtOperator`: `what`, and perhaps `file`, `sql`, `rows`.
    """

    dag: str
    run: str
    task: str
    tries: int
    model: str
    owner: str
    error: str
    problems: Sequence[Mapping[str, Any]]
    log: str

    @classmethod
    def of(cls, context: Any) -> Alert:
        """Take it from the context of a callback; whatever is missing there is `-`.

        A worker gives all of it. Where the scheduler ended a task, Airflow's DAG processor calls
        without an exception, and with a task instance that may lack what only a worker knows.
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
            error=_without_values(
                lost if exception is None else str(exception).strip() or type(exception).__name__
            ),
            problems=[
                {**problem, "what": _without_values(problem.get("what", "-"))}
                for problem in getattr(task, "problems", ()) or ()
            ],
            log=str(getattr(ti, "log_url", "") or ""),
        )

    @property
    def subject(self) -> str:
        """The alert in some words."""
        return f"{self.dag}: {self.task} failed ({self.owner})"

    @property
    def line(self) -> str:
        """The alert in one line, for whoever looks for it in a log."""
        error = (self.problems[0]["what"] if self.problems else self.error).strip()
        return (
            f"ALERT dag={self.dag} run={self.run} task={self.task} model={self.model} "
            f"owner={self.owner} error={error.splitlines()[0] if error else 'unknown'}"
        )

    @property
    def text(self) -> str:
        """The whole alert, for a mail."""
        parts = [
            f"Task {self.task} of DAG {self.dag} has failed, after {self.tries} tries."
            if self.tries > 1
            else f"Task {self.task} of DAG {self.dag} has failed.",
            f"run:      {self.run}\nmodel:    {self.model}\nowner:    {self.owner}",
            cut("\n".join(map(told, self.problems)) or self.error, ERROR_LENGTH, "log"),
            f"log:      {self.log or 'in the UI'}\n"
            f"runbook:  {self.log.partition('/runs/')[0] or 'the page of the DAG'}, Dag Docs, "
            f"`{self.task if self.model == '-' else 'a node'}`",
        ]
        # Last, so that it is what a message that is too long loses.
        parts += [
            f"SQL of {problem['what'].split(':')[0]}:\n{cut(sql, SQL_LENGTH, 'file')}"
            for problem in self.problems
            if (sql := _sql(problem))
        ]
        return "\n\n".join(parts)


def _without_values(error: str) -> str:
    """An error without the values that a warehouse quotes in it: an alert may leave the house."""
    return re.sub(r"'[^'\n]*'", "'***'", error)


def told(problem: Mapping[str, Any]) -> str:
    """A problem in a few lines, for a log and for an alert."""
    lines = [problem["what"]]
    lines += [f"  do:   {problem['remedy']}."] if problem.get("remedy") else []
    lines += [f"  file: {problem['file']}"] if problem.get("file") else []
    lines += [f"  SQL:  {problem['sql']}"] if problem.get("sql") else []
    for row in problem.get("rows") or ():
        lines.append("  row:  " + ", ".join(f"{column}={value}" for column, value in row.items()))
    return "\n".join(lines)


def _sql(problem: Mapping[str, Any]) -> str:
    try:
        return (ROOT / problem["sql"]).read_text(errors="replace") if problem.get("sql") else ""
    except OSError:
        # Kept on another worker, or cleared away since: no reason to be silent.
        return ""


def report_failure(topic: str, context: Any) -> None:
    """Log an alert, and send it if there is a topic; Airflow calls it after the last retry.

    Tasks below the failed one are `upstream_failed`, for which Airflow calls nothing: one problem,
    one alert. Never raises, so that the task ends as it would have; Airflow itself would let pass
    what is no Exception, such as its own timeout.
    """
    if isinstance(context.get("exception"), ToldElsewhereError):
        return
    try:
        alert = Alert.of(context)
        logger.error("%s\n%s", alert.line, alert.text)
        if topic:
            publish(topic, alert.subject, alert.text)
    except BaseException:
        logger.exception("The alert of a failed task could not be made.")


def on_failure(settings: Settings) -> Any:
    """The callback of every task."""
    return partial(report_failure, settings.alert_topic_arn)


def report_late_run(*, topic: str, minutes: int, context: Mapping[str, Any] | None = None) -> None:
    """Log and send an alert for a run that misses its deadline; Airflow calls it on a worker.

    Airflow 3.3.1 drops the deadline of a run that succeeded only: for one that failed in time it
    calls as well. That one has had its alert.
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
    """The alert for a run that has not ended so long after its logical date: a schedule's time.

    Not from when it was queued: Airflow 3.3.1 cannot clear a task of a run with such a deadline
    (`timedelta` of a serialized interval, in `models/taskinstance.py`). A run without a logical
    date, as by `make run`, has none. It is made on a worker, not in the triggerer: when that is
    away, every node waits and no task fails.
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
    """The text, or as much of it as this; then it says where the rest is."""
    return text if len(text) <= length else f"{text[:length]}\n… cut here, the {rest} has the rest"


def publish(topic: str, subject: str, text: str) -> None:
    """Send an alert to an SNS topic, by its ARN; an SNS that does not take it is logged.

    The credentials are those of the process (on AWS, its role), not a connection's: an alert must
    not depend on what it may have to tell of.
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
        # SNS takes a subject of printable ASCII.
        ascii_only = subject.encode("ascii", "replace").decode()
        hook.publish_to_target(
            topic,
            cut(text, SNS_LENGTH, "log"),
            subject=re.sub(r"[^ -~]+", " ", ascii_only)[:100],
        )
    except Exception:
        logger.exception("The alert could not be sent to %s: %s", topic, subject)
