"""The task of a node that runs its own container: in mode `ecs` always, in `fargate` on a retry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.amazon.aws.exceptions import EcsOperatorError
from airflow.sdk.exceptions import AirflowException
from cosmos.operators.aws_ecs import DbtBuildAwsEcsOperator, DbtTestAwsEcsOperator

from include.messages import (
    EVENTS_FOLDER,
    REPORT_VARIABLE,
    RESULT_FILE,
    NodeEvent,
    NodeResult,
    Problem,
    RunResult,
    from_json,
    from_plain,
)
from include.object_store import open_documents
from include.orchestration.alerts import ReportedElsewhereError
from include.orchestration.ecs import tasks
from include.orchestration.operators.explained import ExplainedDbtOperator
from include.orchestration.operators.nodes import NodeLink
from include.orchestration.operators.selection import form_of
from include.orchestration.watcher.nodes import PRODUCER, WatchedOperator
from include.settings import Settings


class ContainerOperator(ExplainedDbtOperator):
    """Adds to Cosmos's operators for ECS: dbt's log lines in the task's log, errors that explain.

    A mixin. `root` is the folder of the container's report.
    """

    root = ""
    settings: Settings
    env: dict[str, str]
    arn: str
    client: Any
    log: Any

    def run_container(self, context: Any, **kwargs: Any) -> None:
        """Run dbt in a container and wait for its end; raises the errors of dbt and of ECS.

        If a container of an earlier try still runs, because its worker was lost, the task waits for
        that container and starts no other.
        """
        ti = context["ti"]
        ecs, settings = tasks.client(), self.settings
        producer = tasks.started_by(ti, PRODUCER)
        # Once the producer has failed for good, no task reads the results of its container.
        for left in tasks.find(ecs, settings, producer):
            tasks.stop(ecs, settings, left["taskArn"], f"{ti.task_id} builds itself")
        for mark in (producer, tasks.started_by(ti)):
            tasks.wait_until_stopped(ecs, settings, mark)
        self.root = tasks.root(settings, ti)
        # Not when the DAG is imported, because it reads the fingerprint's file. If that is missing,
        # preflight reports it.
        self.env = tasks.environment(settings)
        self.environment_variables = {REPORT_VARIABLE: self.root}
        super().execute(context, **kwargs)  # type: ignore[misc]
        self._raise_report(context)

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
            self.root = next(item["value"] for item in overrides if item["name"] == REPORT_VARIABLE)

    def _check_success_task(self) -> None:
        """Check nothing: the container's report has more details than its exit code."""

    def _raise_report(self, context: Any) -> None:
        """Log dbt's lines of the container's report, and raise its problems or its error."""
        documents = open_documents(self.root, self.settings.docs_owner)
        names = documents.names("")
        if RESULT_FILE not in names:
            raise AirflowException(
                tasks.explain(tasks.describe(self.client, self.settings, self.arn))
            )
        problems: list[Problem] = []
        for name in (name for name in names if name.startswith(EVENTS_FOLDER)):
            for text in (documents.read(name) or b"").splitlines():
                node = from_json(text, NodeResult)
                problems += node.problems
                for line in node.lines:
                    self.log.info("%s", line)
        self.raise_for_problems(problems, context)
        result = from_json(documents.read(RESULT_FILE) or b"", RunResult)
        self.log.info("%s", result.message)
        if result.exit_code:
            raise AirflowException(f"dbt in ECS task {self.arn}: {result.message}")


def arguments(settings: Settings) -> dict[str, Any]:
    """Return the arguments that both of Cosmos's operators get."""
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
    """Runs the cross-model tests in a container.

    These are the tests all of whose nodes are selected and need no stale source.
    """

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
        """Run `dbt test` in a container; raises AirflowSkipException if the run leaves no test."""
        self.select = " ".join(self.chosen(context))
        if not self.select:
            self.log.info("The project has no cross-model test.")
            return
        self.run_container(context, **kwargs)


class FollowingOperator(WatchedOperator):
    """Waits for the container of the producer; starts none of its own if the producer failed.

    Otherwise a missing image would cause an error of every node, once for each try. To build a node
    alone, clear its task after `dbt_build` has ended.
    """

    def resume(self, context: Any, event: Mapping[str, Any]) -> None:
        """Raise what the producer has found, or run a container for this node alone."""
        if from_plain(event, NodeEvent).producer_failed:
            raise ReportedElsewhereError(
                f"{PRODUCER} has failed: its error names the remedy. Then clear both tasks, "
                f"{PRODUCER} and this one."
            )
        super().resume(context, event)


class FargateNodeOperator(FollowingOperator, ContainerNodeOperator):  # type: ignore[misc]
    """Builds one node with its tests, in mode `fargate`."""


class FargateTestsOperator(FollowingOperator, ContainerTestsOperator):  # type: ignore[misc]
    """Runs the cross-model tests, in mode `fargate`."""
