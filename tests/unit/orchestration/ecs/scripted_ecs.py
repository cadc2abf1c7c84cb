"""A stand-in for ECS, whose containers are Python functions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from include.object_store import Documents, open_documents


class Ecs:
    """ECS with one task at a time. `container` runs in a thread when a task is started."""

    def __init__(self, container: Callable[[Ecs, Documents], None] | None = None) -> None:
        self.container = container
        self.tasks: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.refusals: list[dict[str, str]] = []

    def run_task(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self.refusals:
            return {"tasks": [], "failures": self.refusals}
        arn = f"arn:aws:ecs:eu-west-1:123456789012:task/c/{len(self.requests):032x}"
        self.add(arn, request["overrides"], request["startedBy"])
        if self.container:
            folder = request["overrides"]["containerOverrides"][0]["command"][-1].rpartition("/")[0]
            documents = open_documents(folder)
            threading.Thread(target=self.container, args=(self, documents), daemon=True).start()
        return {"tasks": [self.tasks[arn]], "failures": []}

    def add(self, arn: str, overrides: Any, mark: str, **more: Any) -> None:
        self.tasks[arn] = {
            "taskArn": arn,
            "lastStatus": "RUNNING",
            "desiredStatus": "RUNNING",
            "containers": [{"name": "dbt"}],
            "overrides": overrides,
            "startedBy": mark,
            **more,
        }

    def end(self, code: int | None = 0, **more: str) -> None:
        """Stop the newest task."""
        container = {"name": "dbt", "reason": more.pop("why", "")}
        if code is not None:
            container["exitCode"] = code  # type: ignore[assignment]
        newest = list(self.tasks.values())[-1]
        newest |= {"lastStatus": "STOPPED", "desiredStatus": "STOPPED", **more}
        newest["containers"] = [container]

    def list_tasks(self, *, startedBy: str, desiredStatus: str, **_: Any) -> dict[str, list[str]]:  # noqa: N803
        return {
            "taskArns": [
                arn
                for arn, task in self.tasks.items()
                if task["startedBy"] == startedBy and task["desiredStatus"] == desiredStatus
            ]
        }

    def describe_tasks(self, *, tasks: list[str], **_: Any) -> dict[str, list[Any]]:
        return {"tasks": [self.tasks[arn] for arn in tasks if arn in self.tasks], "failures": []}

    def stop_task(self, *, task: str, **_: Any) -> None:
        self.tasks[task]["desiredStatus"] = "STOPPED"
