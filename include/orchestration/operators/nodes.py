"""Tasks that run dbt through Cosmos: for one node, and for the cross-model tests."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.exceptions import AirflowException
from cosmos.operators.local import DbtBuildLocalOperator, DbtTestLocalOperator
from game_analytics_triggers import page

from include.command import ERROR
from include.orchestration import connection
from include.orchestration.operators.artifacts import artifacts_of, keep_artifacts
from include.orchestration.operators.explained import ExplainedDbtOperator
from include.orchestration.operators.selection import form_of
from include.settings import ROOT, Settings

logger = logging.getLogger(__name__)


TEMPLATE_FIELDS = ("select", "compiled_sql")
"""What the UI shows as a task's rendered template. No argument of these tasks has a template.

Each task's part of the serialized DAG repeats Cosmos's eleven fields with their values. Airflow's
triggerer deserializes the whole DAG twice for each task that waits.
"""


class NodeLink(BaseOperatorLink):
    """Links a node's task to the node's page with its description, runbook and compiled SQL."""

    name = "Model and SQL"

    # Airflow's signature; the address does not depend on the operator.
    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """Return the page's address. Airflow calls this on a worker; the trigger sets it itself."""
        return page(dag_id=ti_key.dag_id, run_id=ti_key.run_id, task_id=ti_key.task_id)


class DbtNodeOperator(ExplainedDbtOperator, DbtBuildLocalOperator):  # type: ignore[misc]
    """Builds one node and runs the data tests that need only this node, as `dbt build` does."""

    operator_extra_links = (NodeLink(),)
    template_fields = TEMPLATE_FIELDS

    def __init__(
        self,
        *,
        sources: Mapping[str, frozenset[str]],
        files: Mapping[str, str],
        model_file: str,
        **kwargs: Any,
    ) -> None:
        # With this rule a selected node is built although its upstream nodes are not selected.
        super().__init__(callback=keep_artifacts, trigger_rule="none_failed", **kwargs)
        self.sources = sources
        self.nodes = {node: frozenset({node}) for node in sources}
        self.files = files
        self.model_file = model_file

    def execute(self, context: Any, **kwargs: Any) -> None:
        """Run `dbt build` for the node, unless it is not selected or a source of it is stale."""
        self.chosen(context)
        self.full_refresh = form_of(context).full_refresh
        self.artifacts = artifacts_of(context)
        settings = Settings.from_env(os.environ)
        # Not when the DAG is imported: each task's part of the serialized DAG would repeat it.
        self.env = connection.environment(settings)
        keep_lock(settings, context["run_id"])
        super().execute(context, **kwargs)


class CrossModelTestsOperator(ExplainedDbtOperator, DbtTestLocalOperator):  # type: ignore[misc]
    """Runs the cross-model tests all of whose nodes are selected and need no stale source."""

    template_fields = TEMPLATE_FIELDS

    def __init__(
        self,
        *,
        sources: Mapping[str, frozenset[str]],
        nodes: Mapping[str, frozenset[str]],
        files: Mapping[str, str],
        **kwargs: Any,
    ) -> None:
        super().__init__(callback=keep_artifacts, **kwargs)
        self.sources = sources
        self.nodes = nodes
        self.files = files

    def execute(self, context: Any, **kwargs: Any) -> None:
        """Run `dbt test` for these tests; raises AirflowSkipException if the run leaves none."""
        self.select = " ".join(self.chosen(context))
        if not self.select:
            self.log.info("The project has no cross-model test.")
            return
        self.artifacts = artifacts_of(context)
        # Not when the DAG is imported, as for a node.
        self.env = connection.environment(Settings.from_env(os.environ))
        super().execute(context, **kwargs)


def keep_lock(settings: Settings, run_id: str) -> None:
    """Take or renew the run's build lock, for a worker that builds one node alone.

    Raises AirflowException with the reason if the run may not build.
    """
    if settings.target == "local":
        return
    python = Path(settings.dbt_executable).with_name("python")
    kept = subprocess.run(
        [str(python), "-m", "include.warehouse.build_lock", "keep", "--run-id", run_id],
        cwd=ROOT,
        env={**os.environ, **connection.environment(settings), **connection.login(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    if kept.returncode:
        # The last line has no value of the data. Above it there may be the warehouse's own text.
        *_, last = ["", *kept.stderr.strip().splitlines()]
        logger.error(kept.stderr.strip())
        raise AirflowException(last.removeprefix(ERROR) or "the build lock could not be taken")
