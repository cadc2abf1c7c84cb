"""Tasks that run dbt itself, by Cosmos: for one node, and for the tests that span nodes."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from cosmos.hooks.subprocess import FullOutputSubprocessResult
from cosmos.operators.local import DbtBuildLocalOperator, DbtTestLocalOperator
from game_analytics_triggers import page

from include.manifest import MAKE_MANIFEST, shown
from include.orchestration import connection as warehouse
from include.orchestration.alerts import told
from include.orchestration.operators.artifacts import (
    ARTIFACTS,
    artifacts_of,
    keep_artifacts,
    sql_file,
)
from include.orchestration.operators.selection import form_of, skip_dry_run, skip_reasons
from include.remedies import remedy
from include.settings import ROOT, Settings

logger = logging.getLogger(__name__)

ROWS_SECONDS = 120
"""How long fetching the rows of failed tests may take."""


class ExplainedDbtOperator:
    """What both dbt operators add to Cosmos's: skipping what must not run, errors that explain.

    `sources` maps what the task selects to the sources that it needs, `nodes` to the nodes that
    it builds or tests, `files` the dbt ids that it may run to their file in the project.
    `problems` is what the last try has found, for the alert: `what`, `file`, `sql` (a file) and
    `rows` of each.
    """

    sources: Mapping[str, frozenset[str]]
    nodes: Mapping[str, frozenset[str]]
    files: Mapping[str, str]
    artifacts: Path = ARTIFACTS
    compiled_sql: str
    overwrite_rtif_after_execution: bool
    problems: Sequence[Mapping[str, Any]] = ()

    def chosen(self, context: Any) -> list[str]:
        """What the run lets this task select; raises AirflowSkipException if nothing is left."""
        skip_dry_run(context)
        reasons = skip_reasons(context, self.sources, self.nodes)
        chosen = [name for name, reason in reasons.items() if reason is None]
        if reasons and not chosen:
            said = sorted({reason for reason in reasons.values() if reason})
            raise AirflowSkipException(f"Skipped: {'; '.join(said)}.")
        return chosen

    def handle_exception_subprocess(self, result: FullOutputSubprocessResult) -> None:
        """Raise what dbt's results say: AirflowFailException (no retry) if a test failed."""
        results = self._results()
        if result.exit_code == 0:
            if not results:
                message = "dbt found nothing to run: the manifest is not this project's. "
                raise AirflowFailException(message + MAKE_MANIFEST)
            return
        self.raise_for(results)
        said = "\n".join(result.full_output[-20:])
        raise AirflowException(f"dbt ended with exit code {result.exit_code}.\n{said}")

    def raise_for_news(self, news: Mapping[str, Any], context: Any) -> None:
        """Raise what dbt has said of the node, with all that is needed to mend it."""
        self.artifacts = artifacts_of(context)
        self.artifacts.mkdir(parents=True, exist_ok=True)
        with_sql = [result for result in news["results"] if result.get("sql")]
        for result in with_sql:
            sql_file(self.artifacts, result["unique_id"]).write_text(result["sql"])
        # What the UI shows as the rendered template.
        self.compiled_sql = "\n\n".join(
            f"-- {result['unique_id']}\n{result['sql']}" for result in with_sql
        )
        self.overwrite_rtif_after_execution = True
        self.raise_for(news["results"])

    def raise_for(self, results: Iterable[Mapping[str, Any]]) -> None:
        """Raise for the results that are a failure, if there are any.

        AirflowFailException (no retry) if a test failed, AirflowException if something broke.
        """
        bad = [entry for entry in results if entry["status"] in {"error", "runtime error", "fail"}]
        # What broke first: it may be why the tests failed.
        bad.sort(key=lambda entry: entry["status"] == "fail")
        if not bad:
            return
        self.problems = [self._problem(entry) for entry in bad]
        message = "\n".join(map(told, self.problems))
        if bad[-1]["status"] != "fail":
            raise AirflowException(message)
        raise AirflowFailException(f"{message}\nWhat was tested is built and stays, unaudited.")

    def _results(self) -> list[dict[str, Any]]:
        path = self.artifacts / "run_results.json"
        if not path.is_file():
            return []
        results: list[dict[str, Any]] = json.loads(path.read_bytes())["results"]
        rows = self._failing_rows(
            [
                {"unique_id": entry["unique_id"], "sql": entry["compiled_code"]}
                for entry in results
                if entry["status"] == "fail" and entry.get("compiled_code")
            ]
        )
        return [{**entry, "rows": rows.get(entry["unique_id"], [])} for entry in results]

    def _failing_rows(self, tests: list[dict[str, str]]) -> Mapping[str, list[dict[str, Any]]]:
        """The rows that failed tests have found; none rather than no word of the failure."""
        if not tests:
            return {}
        # Both are Cosmos's, in whose operators this is mixed.
        python = Path(self.dbt_executable_path).with_name("python")  # type: ignore[attr-defined]
        given: dict[str, str] = self.env  # type: ignore[attr-defined]
        try:
            found = subprocess.run(
                [str(python), "-m", "include.build.failing_rows"],
                input=json.dumps(tests),
                cwd=ROOT,
                env={**os.environ, **given, **warehouse.login(Settings.from_env(given))},
                capture_output=True,
                text=True,
                timeout=ROWS_SECONDS,
                check=True,
            )
            rows: Mapping[str, list[dict[str, Any]]] = json.loads(found.stdout.splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError, AirflowException):
            logger.exception("The rows that failed cannot be shown.")
            return {}
        return rows

    def _problem(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """One result: what failed and why, the file to mend, the SQL to run, the rows it found."""
        unique_id = entry["unique_id"]
        kind, _, name = unique_id.split(".")[:3]
        what = f"test {name} failed" if entry["status"] == "fail" else f"{kind} {name} broke"
        said = (entry.get("message") or "no message").strip()
        problem = {"what": f"{what}: {said}"}
        if entry["status"] != "fail" and (known := remedy(said)):
            problem["remedy"] = known
        if unique_id in self.files:
            problem["file"] = self.files[unique_id]
        if (sql := sql_file(self.artifacts, unique_id)).is_file():
            problem["sql"] = shown(sql)
        return {**problem, "rows": entry.get("rows") or []}


class NodeLink(BaseOperatorLink):
    """From a node's task to its page: what it is, what to do, the SQL that the run ran."""

    name = "Model and SQL"

    # Airflow's signature; the address needs no operator.
    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """The address; Airflow asks for it on a worker, the trigger sets it by itself."""
        return page(dag_id=ti_key.dag_id, run_id=ti_key.run_id, task_id=ti_key.task_id)


class DbtNodeOperator(ExplainedDbtOperator, DbtBuildLocalOperator):  # type: ignore[misc]
    """Builds one node and runs the data tests that need only this node, as `dbt build` does."""

    operator_extra_links = (NodeLink(),)

    def __init__(
        self,
        *,
        sources: Mapping[str, frozenset[str]],
        files: Mapping[str, str],
        model_file: str,
        **kwargs: Any,
    ) -> None:
        # A selected node is built though those above it were not selected.
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
        keep_lock(Settings.from_env(self.env or {}), context["run_id"])
        super().execute(context, **kwargs)


class CrossModelTestsOperator(ExplainedDbtOperator, DbtTestLocalOperator):  # type: ignore[misc]
    """Runs the data tests that span nodes, if all these are selected and fresh."""

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
        """Run `dbt test` for what is left; skipped if that is nothing."""
        self.select = " ".join(self.chosen(context))
        if not self.select:
            self.log.info("The project has no test that spans nodes.")
            return
        self.artifacts = artifacts_of(context)
        super().execute(context, **kwargs)


def keep_lock(settings: Settings, run_id: str) -> None:
    """Let this run keep the build's lock while a worker builds a node by itself.

    Raises AirflowException with the reason if the run may not build.
    """
    if settings.target == "local":
        return
    python = Path(settings.dbt_executable).with_name("python")
    kept = subprocess.run(
        [str(python), "-m", "include.warehouse.build_lock", "keep", "--run-id", run_id],
        cwd=ROOT,
        env={**os.environ, **warehouse.environment(settings), **warehouse.login(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    if kept.returncode:
        raise AirflowException(kept.stderr.strip().removeprefix("error: ") or kept.stdout)
