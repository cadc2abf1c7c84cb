"""Starts, finds and stops a Fargate task, and explains why one ended and what to do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.amazon.aws.hooks.ecs import EcsHook
from airflow.providers.amazon.aws.utils.identifiers import generate_uuid
from airflow.sdk.exceptions import AirflowException

from include import manifest
from include.artifacts import try_folder
from include.messages import FINGERPRINT_VARIABLE
from include.settings import PREFIX, Settings

CONTAINER = "dbt"
"""The name of the container in the task definition."""
STOP_SECONDS = 150
"""How long a container that is being stopped may take. `stopTimeout` is at most 120 s."""
POLL_SECONDS = 3.0
"""The interval at which the state of a task is read."""
NOT_PASSED = frozenset({"duckdb", "dbt_executable", "deadline_minutes", "alert_topic_arn"})
"""The settings that concern Airflow's own host. A container gets all others."""
START_REMEDIES = {
    "CannotPullContainerError": "see that the image is in ECR (`make push`), that the task "
    "definition names its digest, and that the execution role and the subnets reach ECR",
    "ResourceInitializationError": "see that the secret exists with all its keys, and that the "
    "execution role and the subnets reach Secrets Manager, ECR and CloudWatch",
    "CannotStartContainerError": "repair in the task definition what ECS names",
    "Capacity is unavailable": "Fargate has no room: wait, or add subnets of other zones",
}
"""The remedies for a task that does not start, by words of its reason. The ECS documentation lists
the reasons under "stopped task error codes"."""


def network(settings: Settings) -> dict[str, Any]:
    """Return the network of a task: private subnets, which reach AWS through endpoints or NAT."""
    return {
        "awsvpcConfiguration": {
            "subnets": settings.ecs_subnets.split(","),
            "securityGroups": [group for group in settings.ecs_security_groups.split(",") if group],
            "assignPublicIp": "DISABLED",
        }
    }


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables of a container. None of them is secret, because ECS shows them."""
    left_out = {f"{PREFIX}{name.upper()}" for name in NOT_PASSED}
    given = settings.as_environment()
    return {
        **{name: value for name, value in given.items() if name not in left_out},
        FINGERPRINT_VARIABLE: manifest.FINGERPRINT.read_text().strip(),
    }


def root(settings: Settings, ti: Any) -> str:
    """Return the folder of the report of a try's container; no two tries share one."""
    return f"{settings.docs}/{try_folder(ti.run_id, ti.task_id, ti.try_number, ti.id)}"


def started_by(ti: Any, task_id: str | None = None) -> str:
    """Return the mark by which ECS finds what any try of a task of a run has started.

    The provider's operators with `reattach` use this mark too.
    """
    return str(generate_uuid(ti.dag_id, task_id or ti.task_id, ti.run_id, "-1"))


def client() -> Any:
    """Return a client of ECS with the credentials of the process, on AWS the worker's role."""
    return EcsHook(aws_conn_id=None).conn


def start(
    ecs: Any,
    settings: Settings,
    mark: str,
    command: Sequence[str],
    variables: Mapping[str, str],
) -> str:
    """Start a task; returns its ARN. Raises AirflowException if ECS refuses it."""
    override = {
        "name": CONTAINER,
        "command": list(command),
        "environment": [{"name": name, "value": value} for name, value in variables.items()],
    }
    answer = ecs.run_task(
        cluster=settings.ecs_cluster,
        taskDefinition=settings.ecs_task_definition,
        launchType="FARGATE",
        networkConfiguration=network(settings),
        overrides={"containerOverrides": [override]},
        startedBy=mark,
        propagateTags="TASK_DEFINITION",
    )
    if answer["failures"]:
        raise AirflowException(refused(answer["failures"]))
    return str(answer["tasks"][0]["taskArn"])


def find(ecs: Any, settings: Settings, mark: str, status: str = "RUNNING") -> list[dict[str, Any]]:
    """Return the tasks with this mark and this desired status, RUNNING or STOPPED."""
    arns = ecs.list_tasks(cluster=settings.ecs_cluster, startedBy=mark, desiredStatus=status)[
        "taskArns"
    ]
    return known(ecs, settings, arns) if arns else []


def known(ecs: Any, settings: Settings, arns: Sequence[str]) -> list[dict[str, Any]]:
    """Return those of these tasks that ECS still lists: a stopped one is listed for an hour."""
    tasks: list[dict[str, Any]] = ecs.describe_tasks(cluster=settings.ecs_cluster, tasks=arns)[
        "tasks"
    ]
    return tasks


def describe(ecs: Any, settings: Settings, arn: str) -> dict[str, Any]:
    """Return the present state of a task; raises AirflowException if ECS does not list it."""
    found = ecs.describe_tasks(cluster=settings.ecs_cluster, tasks=[arn])
    if not found["tasks"]:
        raise AirflowException(f"ECS does not list the task {arn} any more: {found['failures']}.")
    task: dict[str, Any] = found["tasks"][0]
    return task


def stop(ecs: Any, settings: Settings, arn: str, reason: str) -> None:
    """Stop a task: its container gets SIGTERM and has `stopTimeout` to end."""
    ecs.stop_task(cluster=settings.ecs_cluster, task=arn, reason=reason)


def wait_until_stopped(ecs: Any, settings: Settings, mark: str) -> None:
    """Wait for the end of tasks with this mark that are being stopped.

    Otherwise two containers could build at the same time. Raises AirflowException if a task does
    not end within `STOP_SECONDS`.
    """
    until = time.monotonic() + STOP_SECONDS
    while stopping := [
        task["taskArn"]
        for task in find(ecs, settings, mark, "STOPPED")
        if task["lastStatus"] != "STOPPED"
    ]:
        if time.monotonic() > until:
            raise AirflowException(f"{', '.join(stopping)} does not stop: clear this task later.")
        time.sleep(POLL_SECONDS)


def refused(failures: Sequence[Mapping[str, Any]]) -> str:
    """Return the message for a task that ECS did not accept."""
    why = "; ".join(f"{failure.get('reason')} {failure.get('detail', '')}" for failure in failures)
    return f"ECS did not start the task: {why.strip()}. {_to_do(why)}"


def explain(task: Mapping[str, Any]) -> str:
    """Return why a task ended that left no result, and what to do."""
    container = _container(task)
    reason, code = str(task.get("stoppedReason") or ""), exit_code(task)
    why = str(container.get("reason") or "")
    name = str(task["taskArn"]).rsplit("/", 1)[-1]
    if "OutOfMemory" in why:
        return (
            f"The container of ECS task {name} ran out of memory ({why}): give the task definition "
            "more memory (parameter TaskMemory of include/aws/build.yaml), then clear this task."
        )
    if task.get("stopCode") == "TaskFailedToStart" or code is None:
        return f"ECS task {name} did not start: {reason} {why}. {_to_do(f'{reason} {why}')}"
    if code == 137:
        return (
            f"The container of ECS task {name} was killed ({reason} {why}): if its memory was "
            "full, give the task definition more; then clear this task."
        )
    return (
        f"The container of ECS task {name} ended with exit code {code} and left no result "
        f"({reason} {why}): see its log, and that its role may write below GAME_ANALYTICS_DOCS."
    )


def exit_code(task: Mapping[str, Any]) -> int | None:
    """Return the exit code of a task's container; None if it never started or still runs."""
    code: int | None = _container(task).get("exitCode")
    return code


def _container(task: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Sequence[Mapping[str, Any]] = task.get("containers", ())
    return next((one for one in found if one.get("name") == CONTAINER), {})


def _to_do(reason: str) -> str:
    for words, remedy in START_REMEDIES.items():
        if words in reason:
            return f"To do: {remedy}; then clear this task."
    return "To do: repair what ECS names, then clear this task."
