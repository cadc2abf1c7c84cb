"""The task that runs one container for all nodes, and publishes what it tells of each."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk.exceptions import AirflowException

from include.build.container import EVENTS, REQUEST, RESULT
from include.object_store import Documents, open_documents
from include.orchestration.ecs import tasks
from include.orchestration.watcher import NEWS_LINE
from include.orchestration.watcher.producer import DbtBuildOperator
from include.settings import UserError

STARTED = "started"
"""The key in the task's state: the container that it started last, and after how many clears."""
POLL_SECONDS = 1.0
"""How often S3 is asked for events."""
DESCRIBE_SECONDS = 5.0
"""How often ECS is asked whether the task still runs."""
LATE_SECONDS = 20.0
"""How long after its task's end events of a container may come."""


class FargateBuildOperator(DbtBuildOperator):
    """Runs `include.build.container follow` in a Fargate task for all nodes that are not built yet.

    A try that finds a container of an earlier one, whose worker was lost, follows that one from its
    first event on, and starts none: if it still works, or has come to its end meanwhile.
    """

    publishes = True
    task_arn = ""
    has_told = False

    def execute(self, context: Any) -> dict[str, int]:
        """Build and publish; returns the number of nodes by status."""
        self.context = context
        self.ecs = tasks.client()
        return super().execute(context)

    def lines(self, *_: str, request: str | None = None) -> Iterator[str]:
        """Start a container, or find the one that works, and yield its news.

        Raises AirflowException with the reason if it does not come to its end.
        """
        mark = tasks.started_by(self.context["ti"])
        found = tasks.find(self.ecs, self.settings, mark)
        if not found:
            tasks.wait_until_stopped(self.ecs, self.settings, mark)
            found = self._left()
        if found:
            self.task_arn = found[0]["taskArn"]
            root = _asked_of(found[0])
            self.log.info("Following %s, which an earlier try has started.", self.task_arn)
        else:
            root = self._start(mark, request or "")
            self.log.info("Started %s.", self.task_arn)
        self.log.info(
            "What it tells comes by %s; its log: CloudWatch, group %s.",
            root,
            self.settings.ecs_log_group,
        )
        yield from self._told(open_documents(root))

    def _start(self, mark: str, request: str) -> str:
        """Start a container; returns where it will tell how it goes."""
        ti = self.context["ti"]
        root = tasks.root(self.settings, ti)
        try:
            open_documents(root).write(REQUEST, request.encode())
        except UserError as error:
            raise AirflowException(str(error)) from None
        variables = {
            **tasks.environment(self.settings),
            "AIRFLOW_CTX_DAG_ID": ti.dag_id,
            "AIRFLOW_CTX_DAG_RUN_ID": ti.run_id,
        }
        command = ["follow", "--request", f"{root}/{REQUEST}"]
        self.task_arn = tasks.start(self.ecs, self.settings, mark, command, variables)
        self.context["task_state_store"].set(STARTED, [self.task_arn, self._clears])
        return root

    def _left(self) -> list[dict[str, Any]]:
        """The container that a lost try has started, if it has come to its end by itself.

        What was built before somebody cleared tasks is to be built anew.
        """
        arn, clears = self.context["task_state_store"].get(STARTED) or (None, 0)
        if arn is None or clears != self._clears:
            return []
        found = tasks.known(self.ecs, self.settings, [arn])
        return [task for task in found if tasks.exit_code(task) == 0]

    @property
    def _clears(self) -> int:
        return int(self.context["dag_run"].clear_number)

    def _told(self, documents: Documents) -> Iterator[str]:
        seen, ended, asked = "", None, time.monotonic()
        while True:
            # Where the result is listed, all events are: it is written last.
            names = documents.names("")
            for name in names:
                if name.startswith(EVENTS) and name > seen:
                    for line in (documents.read(name) or b"").decode().splitlines():
                        yield f"{NEWS_LINE}{line}"
                    seen = name
            if RESULT in names:
                self.has_told = True
                break
            if time.monotonic() > asked + DESCRIBE_SECONDS:
                asked = time.monotonic()
                task = tasks.describe(self.ecs, self.settings, self.task_arn)
                if task["lastStatus"] == "STOPPED":
                    ended = ended or time.monotonic()
                    if time.monotonic() > ended + LATE_SECONDS:
                        self.has_told = True
                        raise AirflowException(tasks.explain(task))
            time.sleep(POLL_SECONDS)
        told = json.loads(documents.read(RESULT) or b"")
        if told["status"] in {"error", "stopped"}:
            raise AirflowException(f"dbt in ECS task {self.task_arn}: {told['message']}")
        self.log.info("%s", told["message"])

    def has_ended(self) -> bool:
        """Whether no container of this task builds any more."""
        return not self.task_arn or self.has_told

    def let_go(self) -> None:
        """Let the container work on: the next try follows it."""

    def on_kill(self) -> None:
        """Stop the container; a node that has to build itself waits for its end."""
        if self.task_arn and not self.has_told:
            reason = f"Airflow ended the task {self.task_id}"
            tasks.stop(self.ecs, self.settings, self.task_arn, reason)


def _asked_of(task: dict[str, Any]) -> str:
    """Where a running container tells how it goes, from its command."""
    for override in task.get("overrides", {}).get("containerOverrides", ()):
        for word in override.get("command", ()):
            if word.endswith(f"/{REQUEST}"):
                return str(word.removesuffix(f"/{REQUEST}"))
    raise AirflowException(f"{task['taskArn']} is no container of this task: stop it in ECS.")
