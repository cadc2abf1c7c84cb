"""One Fargate task: started, found again, stopped, and in words why it ended and what to do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.amazon.aws.hooks.ecs import EcsHook
from airflow.providers.amazon.aws.utils.identifiers import generate_uuid
from airflow.sdk.exceptions import AirflowException
from game_analytics_triggers import file_name

from include import manifest
from include.build.container import FINGERPRINT
from include.settings import PREFIX, Settings

CONTAINER = "dbt"
"""The container of the task definition."""
STOP_SECONDS = 150
"""How long a container that is being stopped may take: `stopTimeout` is 120 s at most."""
POLL_SECONDS = 3.0
OWN_PLACE = frozenset({"duckdb", "dbt_executable", "deadline_minutes", "alert_topic_arn"})
"""The settings of Airflow's own machine; all others a container is told."""
START_REMEDIES = {
    "CannotPullContainerError": "see that the image is in ECR (`make push`), that the task "
    "definition names its digest, and that the execution role and the subnets reach ECR",
    "ResourceInitializationError": "see that the secret is there with all its keys, and that the "
    "execution role and the subnets reach Secrets Manager, ECR and CloudWatch",
    "CannotStartContainerError": "mend the task definition as ECS says",
    "Capacity is unavailable": "Fargate has no room: wait, or add subnets of other zones",
}
"""What to do about the reasons why a task does not start; docs: ECS, stopped task error codes."""


def network(settings: Settings) -> dict[str, Any]:
    """Where a task runs: private subnets, which reach AWS by endpoints or NAT."""
    return {
        "awsvpcConfiguration": {
            "subnets": settings.ecs_subnets.split(","),
            "securityGroups": [group for group in settings.ecs_security_groups.split(",") if group],
            "assignPublicIp": "DISABLED",
        }
    }


def environment(settings: Settings) -> dict[str, str]:
    """The settings that a container needs to know; none is secret, for ECS shows them."""
    own = {f"{PREFIX}{name.upper()}" for name in OWN_PLACE}
    given = settings.as_environment()
    return {
        **{name: value for name, value in given.items() if name not in own},
        FINGERPRINT: manifest.FINGERPRINT.read_text().strip(),
    }


def root(settings: Settings, ti: Any) -> str:
    """Where the container of a try tells how it goes: never where another one has."""
    place = "/".join(map(file_name, (ti.run_id, ti.task_id, f"try_{ti.try_number}-{ti.id}")))
    return f"{settings.docs}/runs/{place}"


def started_by(ti: Any, task_id: str | None = None) -> str:
    """The mark by which ECS finds what a task of a run has started, whatever try it was.

    The same as that of the provider's operators with `reattach`.
    """
    return str(generate_uuid(ti.dag_id, task_id or ti.task_id, ti.run_id, "-1"))


def client() -> Any:
    """ECS, with the credentials of the process: a worker's own role."""
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
    """The tasks with this mark that ECS wants to run, or to be stopped."""
    arns = ecs.list_tasks(cluster=settings.ecs_cluster, startedBy=mark, desiredStatus=status)[
        "taskArns"
    ]
    return known(ecs, settings, arns) if arns else []


def known(ecs: Any, settings: Settings, arns: Sequence[str]) -> list[dict[str, Any]]:
    """Those of these tasks that ECS has not forgotten: one that stopped it forgets in an hour."""
    tasks: list[dict[str, Any]] = ecs.describe_tasks(cluster=settings.ecs_cluster, tasks=arns)[
        "tasks"
    ]
    return tasks


def describe(ecs: Any, settings: Settings, arn: str) -> dict[str, Any]:
    """A task as it is now; raises AirflowException if ECS has forgotten it."""
    found = ecs.describe_tasks(cluster=settings.ecs_cluster, tasks=[arn])
    if not found["tasks"]:
        raise AirflowException(f"ECS no longer knows the task {arn}: {found['failures']}.")
    task: dict[str, Any] = found["tasks"][0]
    return task


def stop(ecs: Any, settings: Settings, arn: str, reason: str) -> None:
    """Ask a task to stop: its container gets SIGTERM, and `stopTimeout` to end."""
    ecs.stop_task(cluster=settings.ecs_cluster, task=arn, reason=reason)


def wait_until_stopped(ecs: Any, settings: Settings, mark: str) -> None:
    """Wait for the end of tasks with this mark that are being stopped: never two build at once.

    Raises AirflowException if one does not end.
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
    """Why ECS did not take a task."""
    said = "; ".join(f"{failure.get('reason')} {failure.get('detail', '')}" for failure in failures)
    return f"ECS did not start the task: {said.strip()}. {_to_do(said)}"


def explain(task: Mapping[str, Any]) -> str:
    """Why a task has ended that has told nothing itself, and what to do."""
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
        f"The container of ECS task {name} ended with exit code {code} and told nothing "
        f"({reason} {why}): see its log, and that its role may write below GAME_ANALYTICS_DOCS."
    )


def exit_code(task: Mapping[str, Any]) -> int | None:
    """The exit code of a task's container; None if it has not ended, or never began."""
    code: int | None = _container(task).get("exitCode")
    return code


def _container(task: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Sequence[Mapping[str, Any]] = task.get("containers", ())
    return next((one for one in found if one.get("name") == CONTAINER), {})


def _to_do(said: str) -> str:
    for words, remedy in START_REMEDIES.items():
        if words in said:
            return f"To do: {remedy}; then clear this task."
    return "To do: mend what ECS says, then clear this task."
