"""A node's own container: in mode `ecs` always, in mode `fargate` on a retry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow.providers.amazon.aws.exceptions import EcsOperatorError
from airflow.sdk.exceptions import AirflowException
from cosmos.operators.aws_ecs import DbtBuildAwsEcsOperator, DbtTestAwsEcsOperator

from include.build.container import ARTIFACTS, EVENTS, RESULT
from include.object_store import open_documents
from include.orchestration.alerts import ToldElsewhereError
from include.orchestration.ecs import tasks
from include.orchestration.operators.nodes import ExplainedDbtOperator, NodeLink
from include.orchestration.operators.selection import form_of
from include.orchestration.watcher.nodes import PRODUCER, WatchedOperator
from include.settings import Settings


class ContainerOperator(ExplainedDbtOperator):
    """What Cosmos's operators for ECS lack: what dbt has said comes back, errors explain.

    To be mixed into one of them; `root` is where the container tells how it goes.
    """

    root = ""
    settings: Settings
    env: dict[str, str]
    arn: str
    client: Any
    log: Any

    def run_container(self, context: Any, **kwargs: Any) -> None:
        """Run dbt in a container and wait for its end; raises what dbt or ECS has to say.

        A container of an earlier try, whose worker was lost, is waited for instead.
        """
        ti = context["ti"]
        ecs, settings = tasks.client(), self.settings
        producer = tasks.started_by(ti, PRODUCER)
        # One that nobody follows any more, since its task has failed for good.
        for left in tasks.find(ecs, settings, producer):
            tasks.stop(ecs, settings, left["taskArn"], f"{ti.task_id} builds itself")
        for mark in (producer, tasks.started_by(ti)):
            tasks.wait_until_stopped(ecs, settings, mark)
        self.root = tasks.root(settings, ti)
        # Now, not when the DAG is imported: it reads a file, which preflight finds missing.
        self.env = tasks.environment(settings)
        self.environment_variables = {ARTIFACTS: self.root}
        super().execute(context, **kwargs)  # type: ignore[misc]
        self._tell(context)

    def _start_task(self) -> None:
        try:
            super()._start_task()  # type: ignore[misc]
        except EcsOperatorError as error:
            raise AirflowException(tasks.refused(error.failures)) from None

    def _try_reattach_task(self, started_by: str) -> None:
        super()._try_reattach_task(started_by)  # type: ignore[misc]
        if self.arn:
            task = tasks.describe(self.client, self.settings, self.arn)
            overrides = task["overrides"]["containerOverrides"][0]["environment"]
            self.root = next(item["value"] for item in overrides if item["name"] == ARTIFACTS)

    def _check_success_task(self) -> None:
        """Nothing: what the container has told says more than its exit code."""

    def _tell(self, context: Any) -> None:
        documents = open_documents(self.root)
        names = documents.names("")
        if RESULT not in names:
            raise AirflowException(
                tasks.explain(tasks.describe(self.client, self.settings, self.arn))
            )
        results: list[Mapping[str, Any]] = []
        for name in (name for name in names if name.startswith(EVENTS)):
            for line in (documents.read(name) or b"").decode().splitlines():
                news = json.loads(line)
                results += news["results"]
                for said in news["lines"]:
                    self.log.info("%s", said)
        self.raise_for_news({"results": results}, context)
        result = json.loads(documents.read(RESULT) or b"")
        self.log.info("%s", result["message"])
        if result["exit_code"]:
            raise AirflowException(f"dbt in ECS task {self.arn}: {result['message']}")


def arguments(settings: Settings) -> dict[str, Any]:
    """What both of Cosmos's operators are given."""
    return {
        "cluster": settings.ecs_cluster,
        "task_definition": settings.ecs_task_definition,
        "container_name": tasks.CONTAINER,
        "aws_conn_id": None,
        "launch_type": "FARGATE",
        "network_configuration": tasks.network(settings),
        "propagate_tags": "TASK_DEFINITION",
        "reattach": True,
        "deferrable": False,
        "waiter_delay": int(tasks.POLL_SECONDS),
    }


class ContainerNodeOperator(ContainerOperator, DbtBuildAwsEcsOperator):  # type: ignore[misc]
    """Builds one node and runs the data tests that need only this node, in a container."""

    operator_extra_links = (NodeLink(),)
    template_fields = (*DbtBuildAwsEcsOperator.template_fields, "compiled_sql")

    def __init__(
        self,
        *,
        settings: Settings,
        sources: Mapping[str, frozenset[str]],
        files: Mapping[str, str],
        model_file: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(trigger_rule="none_failed", **{**kwargs, **arguments(settings)})
        self.settings = settings
        self.sources = sources
        self.nodes = {node: frozenset({node}) for node in sources}
        self.files = files
        self.model_file = model_file
        self.compiled_sql = ""

    def execute(self, context: Any, **kwargs: Any) -> None:
        """Run the container, unless the node is not selected or a source of it is stale."""
        self.chosen(context)
        self.full_refresh = form_of(context).full_refresh
        self.run_container(context, **kwargs)


class ContainerTestsOperator(ContainerOperator, DbtTestAwsEcsOperator):  # type: ignore[misc]
    """Runs the data tests that span nodes, if all these are selected and fresh, in a container."""

    template_fields = (*DbtTestAwsEcsOperator.template_fields, "compiled_sql")

    def __init__(
        self,
        *,
        settings: Settings,
        sources: Mapping[str, frozenset[str]],
        nodes: Mapping[str, frozenset[str]],
        files: Mapping[str, str],
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, **arguments(settings)})
        self.settings = settings
        self.sources = sources
        self.nodes = nodes
        self.files = files
        self.compiled_sql = ""

    def execute(self, context: Any, **kwargs: Any) -> None:
        """Run `dbt test` in a container for what is left; skipped if that is nothing."""
        self.select = " ".join(self.chosen(context))
        if not self.select:
            self.log.info("The project has no test that spans nodes.")
            return
        self.run_container(context, **kwargs)


class FollowingOperator(WatchedOperator):
    """Waits for the one container of the run; if that failed for good, it starts none of its own.

    Else a missing image would be told by every node, once for each try. Who wants the node alone
    clears it when `dbt_build` has ended.
    """

    def resume(self, context: Any, event: Mapping[str, Any]) -> None:
        """Tell of what the producer has found, or run a container for this node alone."""
        if event.get("producer_failed"):
            message = f"{PRODUCER} has failed: its error says what to do; then clear it and this."
            raise ToldElsewhereError(message)
        super().resume(context, event)


class FargateNodeOperator(FollowingOperator, ContainerNodeOperator):  # type: ignore[misc]
    """One node with its tests, in mode `fargate`."""


class FargateTestsOperator(FollowingOperator, ContainerTestsOperator):  # type: ignore[misc]
    """The tests that span nodes, in mode `fargate`."""
