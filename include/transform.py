"""The dbt project as Airflow tasks: one per seed, snapshot and model, through Cosmos."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from airflow.configuration import AIRFLOW_HOME
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from cosmos import DbtTaskGroup, ExecutionConfig, ProjectConfig, RenderConfig
from cosmos.constants import (
    DbtResourceType,
    ExecutionMode,
    InvocationMode,
    LoadMode,
    TestBehavior,
    TestIndirectSelection,
)
from cosmos.dbt.graph import DbtNode
from cosmos.hooks.subprocess import FullOutputSubprocessResult
from cosmos.operators.local import DbtBuildLocalOperator, DbtTestLocalOperator

from include import warehouse
from include.manifest import BUILT_TYPES, MANIFEST, PROJECT, Manifest, shown
from include.settings import ROOT, Settings

FRESHNESS = "freshness"
"""The task whose XCom holds `{"stale": [source ids]}`."""
MAX_ACTIVE_TASKS = {"local": 2, "redshift": 8}
"""Per target. DuckDB takes one writer at a time, so more tasks would only wait for each other."""
ARTIFACTS = Path(AIRFLOW_HOME) / "artifacts"
"""`<run>/<task>/`: dbt's run_results.json and the compiled SQL of what the last try ran."""


class DbtEnvironmentOperator(BaseOperator):
    """Runs `python -m <module> <arguments>` in dbt's environment.

    The last line of its output that is a JSON object becomes the task's XCom. If it fails, the
    last line of its error output is the error: it names a fault and its remedy.
    """

    template_fields = ("command",)

    def __init__(self, *, settings: Settings, command: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self.command = list(command)
        self.process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> Any:  # noqa: ARG002
        """Run the command; raises AirflowException with the command's last words."""
        python = Path(self.settings.dbt_executable).with_name("python")
        if not python.exists():
            message = f"dbt's environment is not installed ({python} is missing): `make install`."
            raise AirflowFailException(message)
        self.process = subprocess.Popen(
            [str(python), "-m", *self.command],
            cwd=ROOT,
            env={**os.environ, **warehouse.environment(self.settings), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )
        printed: list[str] = []
        complained: list[str] = []
        # A warning on stderr must not hide the result, nor the result an error.
        listener = Thread(target=self._listen, args=(self.process.stderr, complained), daemon=True)
        listener.start()
        self._listen(self.process.stdout, printed)
        listener.join()
        if code := self.process.wait():
            ended = f"{' '.join(self.command)} ended with exit code {code}."
            raise AirflowException([ended, *printed[-1:], *complained[-1:]][-1])
        return next((json.loads(line) for line in reversed(printed) if line[0] == "{"), None)

    def _listen(self, output: Iterable[str] | None, lines: list[str]) -> None:
        """Log the output of the command line by line, and keep what is not blank."""
        for line in output or ():
            self.log.info("%s", line.rstrip("\n"))
            if text := line.strip():
                lines.append(text)

    def on_kill(self) -> None:
        """Stop the command with everything it started."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)


def keep_artifacts(project_dir: str, context: Any, **_: Any) -> None:
    """Keep what Cosmos's temporary copy of the project would take with it.

    Cosmos calls it after dbt has ended, before it looks whether dbt has failed.
    """
    folder = artifacts_of(context)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run_results = Path(project_dir) / "target" / "run_results.json"
    if run_results.is_file():
        shutil.copy(run_results, folder)
        for result in json.loads(run_results.read_bytes())["results"]:
            if result.get("compiled_code"):
                sql_file(folder, result["unique_id"]).write_text(result["compiled_code"])


def artifacts_of(context: Any) -> Path:
    """The folder of a task instance's artifacts."""
    return ARTIFACTS / _file_name(context["run_id"]) / _file_name(context["ti"].task_id)


def sql_file(folder: Path, unique_id: str) -> Path:
    """The file of a node's compiled SQL; a test's name can be longer than a file's may be."""
    return folder / f"{_file_name(unique_id.split('.')[2])[:150]}.sql"


class ExplainedDbtOperator:
    """What both dbt operators add to Cosmos's: skipping on stale sources, and errors that explain.

    `sources` maps what the task selects to the sources that it needs, `files` the dbt ids that
    it may run to their file in the project.
    """

    sources: Mapping[str, frozenset[str]]
    files: Mapping[str, str]
    artifacts: Path = ARTIFACTS

    def fresh(self, context: Any) -> list[str]:
        """What is left to select without stale sources; raises AirflowSkipException if nothing."""
        stale = _stale(context)
        fresh = [name for name, needed in self.sources.items() if not needed & stale]
        if not fresh:
            needed = stale & frozenset().union(*self.sources.values())
            raise AirflowSkipException(f"Skipped: stale source {', '.join(sorted(needed))}.")
        return fresh

    def handle_exception_subprocess(self, result: FullOutputSubprocessResult) -> None:
        """Raise what dbt's results say: AirflowFailException (no retry) if a test failed."""
        results = self._results()
        if result.exit_code == 0:
            if not results:
                message = "dbt found nothing to run: the manifest is not this project's. "
                raise AirflowFailException(message + "Run `make manifest`.")
            return
        failed = [entry for entry in results if entry["status"] == "fail"]
        broken = [entry for entry in results if entry["status"] in {"error", "runtime error"}]
        if not failed and not broken:
            said = "\n".join(result.full_output[-20:])
            raise AirflowException(f"dbt ended with exit code {result.exit_code}.\n{said}")
        message = "\n".join(self._explain(entry) for entry in [*broken, *failed])
        raise AirflowFailException(message) if failed else AirflowException(message)

    def _results(self) -> list[dict[str, Any]]:
        path = self.artifacts / "run_results.json"
        if not path.is_file():
            return []
        results: list[dict[str, Any]] = json.loads(path.read_bytes())["results"]
        return results

    def _explain(self, entry: Mapping[str, Any]) -> str:
        """One result in three lines: what failed and why, the file to mend, the SQL to run."""
        unique_id = entry["unique_id"]
        kind, _, name = unique_id.split(".")[:3]
        what = f"test {name} failed" if entry["status"] == "fail" else f"{kind} {name} broke"
        lines = [f"{what}: {(entry.get('message') or 'no message').strip()}"]
        if unique_id in self.files:
            lines.append(f"  file: {self.files[unique_id]}")
        if (sql := sql_file(self.artifacts, unique_id)).is_file():
            lines.append(f"  SQL:  {shown(sql)}")
        return "\n".join(lines)


class DoneOperator(BaseOperator):
    """The last task: green only if no source that a node needs was stale.

    A skipped node skips what hangs on it, and a run whose last task is skipped would count as a
    success. Failed nodes never get here: the trigger rule sees them, whatever was skipped.
    """

    def __init__(self, *, manifest: Manifest, **kwargs: Any) -> None:
        super().__init__(trigger_rule="none_failed", retries=0, **kwargs)
        self.sources = frozenset().union(*map(manifest.sources, manifest.built))

    def execute(self, context: Any) -> None:
        """Raise AirflowFailException with the stale sources, if there are any."""
        if stale := _stale(context) & self.sources:
            message = f"Not everything was built: stale source {', '.join(sorted(stale))}."
            raise AirflowFailException(message)


class DbtNodeOperator(ExplainedDbtOperator, DbtBuildLocalOperator):  # type: ignore[misc]
    """Builds one node and runs the data tests that need only this node, as `dbt build` does."""

    def __init__(
        self,
        *,
        sources: Mapping[str, frozenset[str]],
        files: Mapping[str, str],
        model_file: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(callback=keep_artifacts, **kwargs)
        self.sources = sources
        self.files = files
        self.model_file = model_file

    def execute(self, context: Any, **kwargs: Any) -> None:
        """Run `dbt build` for the node, unless a source that it needs is stale."""
        self.fresh(context)
        self.artifacts = artifacts_of(context)
        super().execute(context, **kwargs)


class CrossModelTestsOperator(ExplainedDbtOperator, DbtTestLocalOperator):  # type: ignore[misc]
    """Runs the data tests that span nodes, without those that need a stale source."""

    def __init__(
        self, *, sources: Mapping[str, frozenset[str]], files: Mapping[str, str], **kwargs: Any
    ) -> None:
        super().__init__(callback=keep_artifacts, **kwargs)
        self.sources = sources
        self.files = files

    def execute(self, context: Any, **kwargs: Any) -> None:
        """Run `dbt test` for what is left; skipped if that is nothing."""
        if not self.sources:
            self.log.info("The project has no test that spans nodes.")
            return
        self.select = " ".join(self.fresh(context))
        self.artifacts = artifacts_of(context)
        super().execute(context, **kwargs)


def dbt_nodes(settings: Settings, manifest: Manifest) -> DbtTaskGroup:
    """One task per seed, snapshot and model, by the node's own name, in a group `dbt`."""
    project = ProjectConfig(
        dbt_project_path=PROJECT,
        manifest_path=MANIFEST,
        project_name="game_analytics",
        env_vars=warehouse.environment(settings),
        install_dbt_deps=False,
    )

    def convert(node: DbtNode, task_args: dict[str, Any], **given: Any) -> BaseOperator:
        place = {"dag": given["dag"], "task_group": given["task_group"], "task_id": node.name}
        if node.has_ephemeral_materialization:
            return EmptyOperator(**place)
        tests = [
            test
            for test, entry in manifest.nodes.items()
            if entry["resource_type"] == "test" and manifest.parents(test) == {node.unique_id}
        ]
        return DbtNodeOperator(
            **place,
            **task_args,
            select=f"fqn:{'.'.join(node.fqn or [node.name])}",
            # Not `--exclude resource_type:unit_test`: an error in a project that has none.
            dbt_cmd_flags=["--exclude-resource-type", "unit_test"],
            # Tests with another parent wait for cross_model_tests.
            indirect_selection=TestIndirectSelection.CAUTIOUS.value,
            sources={node.unique_id: manifest.sources(node.unique_id)},
            files=_files(manifest, [node.unique_id, *tests]),
            model_file=_files(manifest, [node.unique_id])[node.unique_id],
            owner=manifest.owner(node.unique_id) or "airflow",
            outlets=_assets(node),
        )

    return DbtTaskGroup(
        group_id="dbt",
        prefix_group_id=False,
        project_config=project,
        profile_config=warehouse.profile(settings),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.LOCAL,
            invocation_mode=InvocationMode.SUBPROCESS,
            dbt_executable_path=settings.dbt_executable,
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.BUILD,
            # Exposures are no tasks; Cosmos would warn of each at every parse.
            exclude=["resource_type:exposure"],
            emit_datasets=False,
            node_converters={DbtResourceType(kind): convert for kind in sorted(BUILT_TYPES)},
        ),
    )


def cross_model_tests(settings: Settings, manifest: Manifest) -> BaseOperator:
    """The task of all data tests that no single node's task runs."""
    tests = manifest.tests_across()
    return CrossModelTestsOperator(
        task_id="cross_model_tests",
        # Without the skipped nodes there is still something to test.
        trigger_rule="none_failed",
        project_dir=str(PROJECT),
        profile_config=warehouse.profile(settings),
        dbt_executable_path=settings.dbt_executable,
        invocation_mode=InvocationMode.SUBPROCESS,
        install_deps=False,
        emit_datasets=False,
        env=warehouse.environment(settings),
        sources={test.split(".")[2]: manifest.sources(test) for test in tests},
        files=_files(manifest, tests),
    )


def _stale(context: Any) -> frozenset[str]:
    """The ids of the stale sources, as the run's freshness task found them."""
    result = context["ti"].xcom_pull(task_ids=FRESHNESS)
    if not isinstance(result, Mapping) or "stale" not in result:
        message = f"The run has no result of {FRESHNESS}: clear that task with its downstream."
        raise AirflowFailException(message)
    return frozenset(result["stale"])


def _assets(node: DbtNode) -> list[Asset]:
    """A mart is an asset, so that other teams' DAGs can be scheduled on it."""
    if "marts" not in Path(node.original_file_path).parts:
        return []
    return [Asset(name=f"marts.{node.name}", uri=f"game-analytics://marts/{node.name}")]


def _files(manifest: Manifest, unique_ids: Iterable[str]) -> dict[str, str]:
    return {
        unique_id: f"{PROJECT.name}/{manifest.nodes[unique_id]['original_file_path']}"
        for unique_id in unique_ids
    }


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).strip(".") or "_"
