"""The operators of the DAG: programs of dbt's environment, and dbt itself through Cosmos."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import Asset, AssetAlias, BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from cosmos.hooks.subprocess import FullOutputSubprocessResult
from cosmos.operators.local import DbtBuildLocalOperator, DbtTestLocalOperator
from game_analytics_triggers import NODES, file_name, page

from include import warehouse
from include.alerts import told
from include.manifest import MAKE_MANIFEST, Manifest, install_dbt, shown
from include.remedies import remedy
from include.run_form import RunForm, skip_reason
from include.settings import ROOT, Settings, UserError

logger = logging.getLogger(__name__)

ROWS_SECONDS = 120
"""How long fetching the rows of failed tests may take."""
PREFLIGHT = "preflight"
"""The task whose XCom holds `{"selected": [node ids], or null for all}`."""
GOOD = frozenset({"success", "warn"})
"""The statuses of a node that its tests have passed, or warned of."""
MARTS = AssetAlias("game_analytics_marts")
"""The asset events of tasks that emit them for others: one for each mart that was built."""
FRESHNESS = "freshness"
"""The task whose XCom holds `{"stale": [source ids]}`."""
ARTIFACTS = Path(AIRFLOW_HOME) / "artifacts"
"""`<run>/<task>/`: dbt's run_results.json and the compiled SQL of what the last try ran."""


class DbtEnvironmentOperator(BaseOperator):
    """Runs `python -m <module> <arguments>` in dbt's environment.

    The last line of its output that is a JSON object becomes the task's XCom. If it fails, the
    last line of its error output is the error: it names a fault and its remedy. `form` gives
    the arguments that the run's form adds; a dry run skips all but a step that `runs_dry`.
    """

    template_fields: Sequence[str] = ("command",)

    def __init__(
        self,
        *,
        settings: Settings,
        command: Sequence[str],
        form: Callable[[RunForm], list[str]] | None = None,
        runs_dry: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self.command = list(command)
        self.form = form
        self.runs_dry = runs_dry
        self.process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> Any:
        """Run the command; raises AirflowException with the command's last words."""
        if not self.runs_dry:
            skip_dry_run(context)
        arguments = self.form(form_of(context)) if self.form else []
        if is_dry_run(context):
            arguments += ["--dry-run", str(artifacts_of(context))]
        printed = []
        for line in self.lines(*arguments):
            self.log.info("%s", line)
            if line.strip():
                printed.append(line.strip())
        return next((json.loads(line) for line in reversed(printed) if line[0] == "{"), None)

    def lines(self, *arguments: str, request: str | None = None) -> Iterator[str]:
        """Run the command and yield the lines that it prints; log those that it complains with.

        It gets the request on its standard input, which stays open as long as we live. Raises
        AirflowException with its last words if it fails.
        """
        python = Path(self.settings.dbt_executable).with_name("python")
        if not python.exists():
            message = (
                f"the environment of dbt is not installed ({python} is missing): "
                f"{install_dbt(self.settings.dbt_executable)}."
            )
            raise AirflowFailException(message)
        self.process = subprocess.Popen(
            [str(python), "-m", *self.command, *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                **warehouse.environment(self.settings),
                **warehouse.login(self.settings),
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL if request is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )
        if self.process.stdin:
            self.process.stdin.write(f"{request}\n")
            self.process.stdin.flush()
        complained: list[str] = []

        def listen(output: Iterable[str]) -> None:
            for line in output:
                self.log.info("%s", line.rstrip("\n"))
                if text := line.strip():
                    complained.append(text)

        # A warning on stderr must not hide the result, nor the result an error.
        listener = Thread(target=listen, args=(self.process.stderr or (),), daemon=True)
        listener.start()
        said = f"{' '.join([*self.command, *arguments])} ended with exit code"
        last = ""
        for line in self.process.stdout or ():
            # Who talks with us all the time has no last words.
            last = "" if request else line.strip() or last
            yield line.rstrip("\n")
        listener.join()
        if code := self.process.wait():
            raise AirflowException([f"{said} {code}.", *filter(None, [last]), *complained][-1])

    def on_kill(self) -> None:
        """Stop the command with everything it started."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)


def keep_lock(settings: Settings, run_id: str) -> None:
    """Let this run keep the build's lock while a worker builds a node by itself.

    Raises AirflowException with the reason if the run may not build.
    """
    if settings.target == "local":
        return
    python = Path(settings.dbt_executable).with_name("python")
    kept = subprocess.run(
        [str(python), "-m", "include.build_lock", "keep", "--run-id", run_id],
        cwd=ROOT,
        env={**os.environ, **warehouse.environment(settings), **warehouse.login(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    if kept.returncode:
        raise AirflowException(kept.stderr.strip().removeprefix("error: ") or kept.stdout)


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
    return ARTIFACTS / file_name(context["run_id"]) / file_name(context["ti"].task_id)


def sql_file(folder: Path, unique_id: str) -> Path:
    """The file of a node's compiled SQL; a test's name can be longer than a file's may be."""
    return folder / f"{file_name(unique_id.split('.')[2])[:150]}.sql"


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
                [str(python), "-m", "include.failing_rows"],
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


class RecordOperator(DbtEnvironmentOperator):
    """Records the run's days as built, if every node is: then no later run builds them again.

    The trigger rule sees only the last nodes, one of which may be green below a skipped one.
    """

    def __init__(self, *, nodes: Iterable[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nodes = sorted(nodes)

    def execute(self, context: Any) -> Any:
        """Record; raises AirflowSkipException with the nodes that are not built."""
        skip_dry_run(context)
        ti = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=self.nodes).get(
            ti.run_id, {}
        )
        if missing := [node for node in self.nodes if states.get(node) != "success"]:
            raise AirflowSkipException(
                f"Not recorded as built: {len(missing)} of {len(self.nodes)} nodes are not "
                f"({', '.join(missing[:5])}{', …' if len(missing) > 5 else ''})."
            )
        return super().execute(context)


class DoneOperator(BaseOperator):
    """The last task: green only if no source was stale that a node of this run needs.

    A skipped node does not make the run fail, and a run whose last task is skipped would count as
    a success. Failed nodes never get here: the trigger rule sees them, whatever was skipped. A
    `producer` that failed is no reason to be red, since the nodes have built themselves: that is
    said in the task's result.
    """

    def __init__(
        self,
        *,
        manifest: Manifest,
        producer: str | None = None,
        assets: Mapping[str, Asset],
        **kwargs: Any,
    ) -> None:
        super().__init__(trigger_rule="none_failed", retries=0, outlets=[MARTS], **kwargs)
        self.sources = {node: manifest.sources(node) for node in manifest.built}
        self.producer = producer
        self.assets = assets

    def execute(self, context: Any) -> str | None:
        """Raise AirflowFailException with the stale sources, if there are any."""
        if is_dry_run(context):
            return "Nothing was built: dry run."
        selected = selected_nodes(context)
        wanted = [
            sources
            for node, sources in self.sources.items()
            if selected is None or node in selected
        ]
        if stale := stale_sources(context) & frozenset().union(*wanted):
            message = f"Not everything was built: stale source {', '.join(sorted(stale))}."
            raise AirflowFailException(message)
        if self.producer is None:
            return None
        ti = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=[self.producer])
        if states[ti.run_id].get(self.producer) == "failed":
            message = f"{self.producer} failed: nodes have been built by their own tasks."
            self.log.warning("%s", message)
            # Its own asset events were lost with it.
            said = ti.xcom_pull(task_ids=self.producer, key=NODES) or {"nodes": {}, "clears": 0}
            for task_id, (status, _) in said["nodes"].items():
                if status in GOOD and task_id in self.assets and not said["clears"]:
                    context["outlet_events"][MARTS].add(self.assets[task_id])
            return message
        return None


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


def form_of(context: Any) -> RunForm:
    """The run's form; raises AirflowFailException for one that cannot be meant."""
    try:
        return RunForm.from_params(context["params"])
    except UserError as error:
        raise AirflowFailException(str(error)) from None


def is_dry_run(context: Any) -> bool:
    """Whether nothing may be written; the rest of the form is preflight's to judge."""
    return bool(context["params"].get("dry_run"))


def skip_dry_run(context: Any) -> None:
    """Raise AirflowSkipException in a dry run."""
    if is_dry_run(context):
        raise AirflowSkipException("Skipped: dry run.")


def skip_reasons(
    context: Any,
    sources: Mapping[str, frozenset[str]],
    nodes: Mapping[str, frozenset[str]],
) -> dict[str, str | None]:
    """Why this run does not build or test something, by its name; None if it does.

    `sources` are those that it needs, `nodes` those that it builds or tests.
    """
    selected, stale = selected_nodes(context), stale_sources(context)
    return {
        name: skip_reason(nodes[name], needed, selected=selected, stale=stale)
        for name, needed in sources.items()
    }


def selected_nodes(context: Any) -> frozenset[str] | None:
    """The ids of the selected nodes, as the run's preflight found them; None for all."""
    selected = result_of(context, PREFLIGHT, "selected")
    return None if selected is None else frozenset(selected)


def stale_sources(context: Any) -> frozenset[str]:
    """The ids of the stale sources, as the run's freshness task found them."""
    return frozenset(result_of(context, FRESHNESS, "stale"))


def result_of(context: Any, task_id: str, key: str) -> Any:
    """A part of what a task of the run has found; AirflowFailException if that is not known."""
    result = context["ti"].xcom_pull(task_ids=task_id)
    if not isinstance(result, Mapping) or key not in result:
        message = f"The run has no result of {task_id}: clear that task with its downstream."
        raise AirflowFailException(message)
    return result[key]
