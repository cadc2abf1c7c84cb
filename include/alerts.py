"""One alert, one shape: what failed, of whom, and where to look; and one for a run that is late."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from game_analytics_triggers import publish, report_late_run

from include.settings import ROOT, Settings

logger = logging.getLogger(__name__)

SQL_LENGTH = 20_000
"""How much of a failed test's SQL an alert has; the file that it names has all of it."""


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
        """Take it from the context of a callback.

        A worker gives all of it. Where the scheduler ended a task, Airflow's DAG processor calls
        with a task instance of another kind, and without an exception.
        """
        task, ti = context["task"], context.get("ti")
        problems = list(getattr(task, "problems", ()) or ())
        exception = context.get("exception")
        return cls(
            dag=context["dag"].dag_id,
            run=context["run_id"],
            task=task.task_id,
            tries=getattr(ti, "try_number", 0) or 0,
            model=getattr(task, "model_file", "") or "-",
            owner=task.owner,
            error=_without_values(
                str(exception or "no exception: its worker was lost, or the scheduler ended it")
            ),
            problems=[
                {**problem, "what": _without_values(problem["what"])} for problem in problems
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
            "\n".join(map(_shown, self.problems)) or self.error,
            f"log:      {self.log or 'in the UI'}\n"
            f"runbook:  the DAG's page, row `{self.task if self.model == '-' else 'a node'}`",
        ]
        parts += [
            f"SQL of {problem['what'].split(':')[0]}:\n{sql[:SQL_LENGTH]}"
            for problem in self.problems
            if (sql := _sql(problem))
        ]
        return "\n\n".join(parts)


def _without_values(error: str) -> str:
    """An error without the values that a warehouse quotes in it: an alert may leave the house."""
    return re.sub(r"'[^'\n]*'", "'***'", error)


def _shown(problem: Mapping[str, Any]) -> str:
    lines = [problem["what"]]
    lines += [f"  {name}: {problem[name]}" for name in ("file", "sql") if problem.get(name)]
    for row in problem.get("rows") or ():
        lines.append("  row: " + ", ".join(f"{column}={value}" for column, value in row.items()))
    return "\n".join(lines)


def _sql(problem: Mapping[str, Any]) -> str:
    path = ROOT / problem["sql"] if problem.get("sql") else None
    return path.read_text() if path and path.is_file() else ""


def report_failure(topic: str, context: Any) -> None:
    """Log an alert, and send it if there is a topic; Airflow calls it after the last retry.

    Tasks below the failed one are `upstream_failed`, for which Airflow calls nothing: one problem,
    one alert. Never raises, so that the task ends as it would have.
    """
    try:
        alert = Alert.of(context)
        logger.error("%s\n%s", alert.line, alert.text)
        if topic:
            publish(topic, alert.subject, alert.text)
    except Exception:
        logger.exception("The alert of a failed task could not be made.")


def on_failure(settings: Settings) -> Any:
    """The callback of every task."""
    return partial(report_failure, settings.alert_topic_arn)


def deadline(settings: Settings) -> DeadlineAlert | None:
    """The alert for a run that has not ended so long after its logical date: a schedule's time.

    Not from when it was queued: Airflow 3.3.1 cannot clear a task of a run with such a deadline
    (`timedelta` of a serialized interval, in `models/taskinstance.py`). A run without a logical
    date, as by `make run`, has none.
    """
    if not settings.deadline_minutes:
        return None
    minutes = int(settings.deadline_minutes)
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        interval=timedelta(minutes=minutes),
        callback=AsyncCallback(
            report_late_run, kwargs={"topic": settings.alert_topic_arn, "minutes": minutes}
        ),
    )
