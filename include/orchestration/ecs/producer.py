"""The producer of mode `fargate`: runs one container for all nodes and publishes their results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk.exceptions import AirflowException

from include.messages import (
    DAG_ID_VARIABLE,
    EVENTS_FOLDER,
    REQUEST_FILE,
    RESULT_FILE,
    RESULT_LINE,
    RUN_ID_VARIABLE,
    STATE_CONTAINER,
    RunResult,
    StartedContainer,
    from_json,
    from_plain,
    to_plain,
)
from include.object_store import Documents, open_documents
from include.orchestration.ecs import tasks
from include.orchestration.watcher.older_airflow import task_state
from include.orchestration.watcher.producer import DbtBuildOperator
from include.settings import UserError

POLL_SECONDS = 1.0
"""The interval at which the events in S3 are listed."""
DESCRIBE_SECONDS = 5.0
"""The interval at which the state of the task is read from ECS."""
LATE_SECONDS = 20.0
"""How long after the end of its task the events of a container may still appear."""


class FargateBuildOperator(DbtBuildOperator):
    """Runs `include.build.container follow` in a Fargate task for all nodes that are not built yet.

    If the worker of an earlier try was lost, and its container still runs or ended with success,
    this try follows that container from its first event on, and starts no other.
    """

    runs_elsewhere = True
    task_arn = ""
    is_complete = False
    """Whether the container's report is complete, or its task has ended without one."""

    def execute(self, context: Any) -> dict[str, int]:
        """Build and publish; returns the number of nodes by status."""
        self.context = context
        self.ecs = tasks.client()
        return super().execute(context)

    def lines(self, *_: str, request: str | None = None) -> Iterator[str]:
        """Start a container, or find the one of an earlier try, and yield its node results.

        Raises AirflowException with the reason if dbt could not finish there.
        """
        mark = tasks.started_by(self.context["ti"])
        found = tasks.find(self.ecs, self.settings, mark)
        if not found:
            tasks.wait_until_stopped(self.ecs, self.settings, mark)
            found = self._left()
        if found:
            self.task_arn = found[0]["taskArn"]
            root = _root_of(found[0])
            self.log.info("Following %s, which an earlier try has started.", self.task_arn)
        else:
            root = self._start_container(mark, request or "")
            self.log.info("Started %s.", self.task_arn)
        self.log.info(
            "Its report lies in %s, its log in the CloudWatch group %s.",
            root,
            self.settings.ecs_log_group,
        )
        yield from self._results(open_documents(root, self.settings.docs_owner))

    def _start_container(self, mark: str, request: str) -> str:
        """Write the request and start a container; returns the folder of its report."""
        ti = self.context["ti"]
        root = tasks.root(self.settings, ti)
        try:
            documents = open_documents(root, self.settings.docs_owner)
            documents.write(REQUEST_FILE, request.encode())
        except UserError as error:
            raise AirflowException(str(error)) from None
        variables = {
            **tasks.environment(self.settings),
            DAG_ID_VARIABLE: ti.dag_id,
            RUN_ID_VARIABLE: ti.run_id,
        }
        command = ["follow", "--request", f"{root}/{REQUEST_FILE}"]
        self.task_arn = tasks.start(self.ecs, self.settings, mark, command, variables)
        started = StartedContainer(self.task_arn, self._clears)
        task_state(self.context).set(STATE_CONTAINER, to_plain(started))
        return root

    def _left(self) -> list[dict[str, Any]]:
        """Return the ended container of an earlier try, if it ended with success.

        If somebody has cleared tasks since then, it does not count: its nodes are built again.
        """
        stored = task_state(self.context).get(STATE_CONTAINER)
        started = from_plain(stored, StartedContainer) if stored else None
        if started is None or started.clears != self._clears:
            return []
        found = tasks.known(self.ecs, self.settings, [started.task_arn])
        return [task for task in found if tasks.exit_code(task) == 0]

    @property
    def _clears(self) -> int:
        return int(self.context["dag_run"].clear_number)

    def _results(self, documents: Documents) -> Iterator[str]:
        """Yield the events of the container as result lines, until its report is complete."""
        seen, ended, described = "", None, time.monotonic()
        while True:
            # The result is written last, so all events are listed where it is.
            names = documents.names("")
            for name in names:
                if name.startswith(EVENTS_FOLDER) and name > seen:
                    for line in (documents.read(name) or b"").decode().splitlines():
                        yield f"{RESULT_LINE}{line}"
                    seen = name
            if RESULT_FILE in names:
                self.is_complete = True
                break
            if time.monotonic() > described + DESCRIBE_SECONDS:
                described = time.monotonic()
                task = tasks.describe(self.ecs, self.settings, self.task_arn)
                if task["lastStatus"] == "STOPPED":
                    ended = ended or time.monotonic()
                    if time.monotonic() > ended + LATE_SECONDS:
                        self.is_complete = True
                        raise AirflowException(tasks.explain(task))
            time.sleep(POLL_SECONDS)
        result = from_json(documents.read(RESULT_FILE) or b"", RunResult)
        if result.status in {"error", "stopped"}:
            raise AirflowException(f"dbt in ECS task {self.task_arn}: {result.message}")
        self.log.info("%s", result.message)

    def has_ended(self) -> bool:
        """Return whether no container of this task builds any more."""
        return not self.task_arn or self.is_complete

    def on_lost_supervisor(self) -> None:
        """Do nothing: the container goes on, and the next try follows it."""

    def on_kill(self) -> None:
        """Stop the container; a node that must build itself waits for the container's end."""
        if self.task_arn and not self.is_complete:
            reason = f"Airflow ended the task {self.task_id}"
            tasks.stop(self.ecs, self.settings, self.task_arn, reason)


def _root_of(task: dict[str, Any]) -> str:
    """Return the folder of a container's report, from its command."""
    for override in task.get("overrides", {}).get("containerOverrides", ()):
        for word in override.get("command", ()):
            if word.endswith(f"/{REQUEST_FILE}"):
                return str(word.removesuffix(f"/{REQUEST_FILE}"))
    raise AirflowException(
        f"ECS task {task['taskArn']} has the mark of this task but no request: stop it in ECS."
    )
