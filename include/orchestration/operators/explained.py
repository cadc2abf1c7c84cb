"""Raises the problems that dbt found, each with its file, SQL, rows and remedy."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from cosmos.hooks.subprocess import FullOutputSubprocessResult

from include.manifest import MAKE_MANIFEST, described, shown
from include.messages import (
    FAILED,
    FailedTest,
    FailingRows,
    FailingRowsRequest,
    Problem,
    Row,
    from_json,
    to_json,
)
from include.orchestration import connection
from include.orchestration.alerts import ExplainedProblem
from include.orchestration.operators.artifacts import ARTIFACTS, artifacts_of, sql_file
from include.orchestration.operators.selection import skip_dry_run, skip_reasons
from include.remedies import remedy
from include.settings import ROOT, Settings

logger = logging.getLogger(__name__)

ROWS_SECONDS = 120
"""How long fetching the rows of failed tests may take."""


class ExplainedDbtOperator:
    """Adds to Cosmos's dbt operators: skipping what must not run, and errors that explain.

    A mixin. `sources` maps what the task selects to the sources that it needs, `nodes` to the nodes
    that it builds or tests. `files` maps the dbt ids that the task may run to their file in the
    project. `problems` are those of the last try, for the alert.
    """

    sources: Mapping[str, frozenset[str]]
    nodes: Mapping[str, frozenset[str]]
    files: Mapping[str, str]
    artifacts: Path = ARTIFACTS
    compiled_sql: str
    overwrite_rtif_after_execution: bool
    problems: Sequence[ExplainedProblem] = ()

    def chosen(self, context: Any) -> list[str]:
        """Return what this run lets the task select; raises AirflowSkipException if it is empty."""
        skip_dry_run(context)
        reasons = skip_reasons(context, self.sources, self.nodes)
        chosen = [name for name, reason in reasons.items() if reason is None]
        if reasons and not chosen:
            found = sorted({reason for reason in reasons.values() if reason})
            raise AirflowSkipException(f"Skipped: {'; '.join(found)}.")
        return chosen

    def handle_exception_subprocess(self, result: FullOutputSubprocessResult) -> None:
        """Raise the problems in dbt's results; Cosmos calls this after dbt has ended.

        Raises AirflowFailException (no retry) if a test failed, AirflowException for an error.
        """
        results = self._run_results()
        if result.exit_code == 0:
            if not results:
                message = "dbt found nothing to run: the manifest is not this project's. "
                raise AirflowFailException(message + MAKE_MANIFEST)
            return
        self._raise_for(self._problems(results))
        what = f"dbt ended with exit code {result.exit_code}"
        output = "\n".join(result.full_output[-20:])
        # As a problem, dbt's output reaches an alert only in masked form.
        self.problems = [ExplainedProblem(what, output)]
        raise AirflowException(f"{what}.\n{output}")

    def raise_for_problems(self, problems: Sequence[Problem], context: Any) -> None:
        """Raise the problems of a node result, after keeping their SQL as files and for the UI.

        Raises AirflowFailException (no retry) if a test failed, AirflowException for an error.
        """
        self.artifacts = artifacts_of(context)
        self.artifacts.mkdir(parents=True, exist_ok=True)
        with_sql = [problem for problem in problems if problem.sql]
        for problem in with_sql:
            sql_file(self.artifacts, problem.unique_id).write_text(problem.sql)
        # The UI shows it as the task's rendered template.
        self.compiled_sql = "\n\n".join(
            f"-- {problem.unique_id}\n{problem.sql}" for problem in with_sql
        )
        self.overwrite_rtif_after_execution = True
        self._raise_for(problems)

    def _raise_for(self, problems: Iterable[Problem]) -> None:
        bad = [problem for problem in problems if problem.status in FAILED]
        # Errors first: one of them may be the cause of the failed tests.
        bad.sort(key=lambda problem: problem.status == "fail")
        if not bad:
            return
        self.problems = [self._explained(problem) for problem in bad]
        message = "\n".join(problem.text for problem in self.problems)
        if bad[-1].status != "fail":
            raise AirflowException(message)
        raise AirflowFailException(
            f"{message}\nThe table has the new rows, although a test of it failed."
        )

    def _explained(self, problem: Problem) -> ExplainedProblem:
        """Add the file to repair, the file of the SQL, and the remedy if one is known."""
        kind, name = described(problem.unique_id)
        failed = problem.status == "fail"
        message = (problem.message or "no message").strip()
        sql = sql_file(self.artifacts, problem.unique_id)
        return ExplainedProblem(
            what=f"test {name} failed" if failed else f"{kind} {name} had an error",
            message=message,
            remedy="" if failed else remedy(message) or "",
            file=self.files.get(problem.unique_id, ""),
            sql=shown(sql) if sql.is_file() else "",
            rows=problem.rows,
        )

    def _run_results(self) -> list[dict[str, Any]]:
        """Return the results in dbt's `run_results.json`; empty if dbt wrote none."""
        path = self.artifacts / "run_results.json"
        if not path.is_file():
            return []
        results: list[dict[str, Any]] = json.loads(path.read_bytes())["results"]
        return results

    def _problems(self, results: Iterable[Mapping[str, Any]]) -> list[Problem]:
        """Return the failures and errors among dbt's results, with the rows of failed tests."""
        bad = [r for r in results if r["status"] in {*FAILED, "runtime error"}]
        rows = self._failing_rows(
            tuple(
                FailedTest(result["unique_id"], result["compiled_code"])
                for result in bad
                if result["status"] == "fail" and result.get("compiled_code")
            )
        )
        return [
            Problem(
                unique_id=result["unique_id"],
                status="fail" if result["status"] == "fail" else "error",
                message=result.get("message"),
                rows=rows.get(result["unique_id"], ()),
            )
            for result in bad
        ]

    def _failing_rows(self, tests: tuple[FailedTest, ...]) -> Mapping[str, tuple[Row, ...]]:
        """Return the rows of failed tests by id; empty if they cannot be fetched.

        The failure itself must be raised in any case, so an error here is only logged.
        """
        if not tests:
            return {}
        # Both attributes are those of Cosmos's operators, into which this class is mixed.
        python = Path(self.dbt_executable_path).with_name("python")  # type: ignore[attr-defined]
        given: dict[str, str] = self.env  # type: ignore[attr-defined]
        try:
            found = subprocess.run(
                [str(python), "-m", "include.build.failing_rows"],
                input=to_json(FailingRowsRequest(tests)),
                cwd=ROOT,
                env={**os.environ, **given, **connection.login(Settings.from_env(given))},
                capture_output=True,
                text=True,
                timeout=ROWS_SECONDS,
                check=True,
            )
            return from_json(found.stdout.splitlines()[-1], FailingRows).rows
        except (OSError, subprocess.SubprocessError, ValueError, IndexError, AirflowException):
            logger.exception("The rows of the failed tests cannot be shown.")
            return {}
