"""Tasks that run a program of dbt's environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from airflow import __version__
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from include.command import ERROR
from include.engine_text import without_values
from include.manifest import Manifest, install_dbt
from include.messages import PublishRequest, to_json
from include.orchestration import connection
from include.orchestration.operators.artifacts import artifacts_of
from include.orchestration.operators.selection import (
    form_of,
    is_dry_run,
    is_replaced,
    skip_dry_run,
    stale_sources,
    states_of,
)
from include.remedies import KILLED, Building, killed
from include.run_form import RunForm
from include.settings import AIRFLOW_VERSION, ROOT, Settings


class DbtEnvironmentOperator(BaseOperator):
    """Runs `python -m <module> <arguments>` in dbt's environment.

    The task's result is the last line of its output that is a JSON object: a message of
    `include.messages`. If the program fails, the task's error is the last line of its error output,
    which names the cause and the remedy. `form` returns the arguments that come from the run's
    form. A dry run skips every such task, unless `runs_dry` is set.
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
        """Run the command; raises AirflowException with its last line if it fails."""
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
        """Run the command, yield the lines of its output, and log those of its error output.

        A `request` is written to its standard input, which stays open until this process ends.
        Raises what `read_lines` raises.
        """
        self.process = process = self.start_process(arguments, takes_requests=request is not None)
        if request is not None:
            self.send(request)
        yield from self.read_lines(process, *arguments)

    def send(self, request: str) -> None:
        """Write a request to the standard input of the command."""
        if self.process and self.process.stdin:
            # A process that has already ended reads nothing; its output has the error.
            with suppress(BrokenPipeError):
                self.process.stdin.write(f"{request}\n")
                self.process.stdin.flush()

    def read_lines(self, process: subprocess.Popen[str], *arguments: str) -> Iterator[str]:
        """Yield the lines of the command's output, and log those of its error output.

        Raises AirflowException with the last line of its error output if it fails; if that is
        empty, with the last line of its output. A line that `include.command` has not written as
        the program's error is masked, because it can quote a file, and an alert sends it on.
        """
        errors: list[str] = []

        def read_errors(output: Iterable[str]) -> None:
            for line in output:
                self.log.info("%s", line.rstrip("\n"))
                if text := line.strip():
                    errors.append(text)

        # Both outputs are read at the same time and apart from each other, so that no warning on
        # stderr hides the result, and no line on stdout the error.
        reader = Thread(target=read_errors, args=(process.stderr or (),), daemon=True)
        reader.start()
        last = ""
        building = Building()
        for line in process.stdout or ():
            building.read(line)
            # A process that was sent a request streams its results, so its last output line is not
            # an error message.
            last = "" if process.stdin else line.strip() or last
            yield line.rstrip("\n")
        reader.join()
        if (code := process.wait()) in KILLED:
            raise AirflowException(killed(" ".join(self.command), building.names()))
        if code:
            ended = f"{' '.join([*self.command, *arguments])} ended with exit code {code}."
            error = [*filter(None, [last]), *errors][-1:]
            is_sentence = code > 0 and error and error[0].startswith(ERROR)
            text = error if is_sentence else [without_values(line) for line in error]
            raise AirflowException([ended, *text][-1])

    def start_process(
        self, arguments: Sequence[str], *, takes_requests: bool
    ) -> subprocess.Popen[str]:
        """Start the command; raises AirflowFailException if dbt's environment is missing."""
        python = Path(self.settings.dbt_executable).with_name("python")
        if not python.exists():
            raise AirflowFailException(
                f"the environment of dbt is not installed ({python} is missing): "
                f"{install_dbt(self.settings.dbt_executable)}."
            )
        return subprocess.Popen(
            [str(python), "-m", *self.command, *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                **connection.environment(self.settings),
                **connection.login(self.settings),
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.PIPE if takes_requests else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )

    def on_kill(self) -> None:
        """Stop the command and every process that it started."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)


class PreflightOperator(DbtEnvironmentOperator):
    """Runs `include.build.preflight`, if the package was made for this version of Airflow."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            command=["include.build.preflight", "--json"],
            form=RunForm.arguments,
            runs_dry=True,
            retries=0,
            **kwargs,
        )

    def execute(self, context: Any) -> Any:
        """Return the selected nodes; raises AirflowFailException for another version of Airflow."""
        check_version()
        return super().execute(context)


def check_version(made_for: Path = AIRFLOW_VERSION, version: str = __version__) -> None:
    """Raise AirflowFailException if the package was made for another version of Airflow.

    A checkout does not say for which version it is, so nothing is checked there.
    """
    wanted = made_for.read_text().strip() if made_for.is_file() else version
    if wanted != version:
        raise AirflowFailException(
            f"this environment has Airflow {version}, but the package was made for Airflow "
            f"{wanted}: run `make package AIRFLOW={version}` (with WHEELS=1 BUCKET=… for a network "
            f"without a package index) and `make deploy`, or deploy to an environment of Airflow "
            f"{wanted}."
        )


class PublishOperator(DbtEnvironmentOperator):
    """Publishes the artifacts and pages of the run, also after tasks of it have failed.

    `later` has the ids of the tasks that come after this one, which have no final states yet. The
    failure of the `producer`, which a mode may lack, is no failure of the run if the tasks of the
    nodes have built them.
    """

    later = frozenset({"unlock", "done"})
    producer = "dbt_build"

    def __init__(self, *, manifest: Manifest, **kwargs: Any) -> None:
        command = ["include.site", "publish", "--run-id", "{{ run_id }}", "--request"]
        super().__init__(command=command, trigger_rule="all_done", **kwargs)
        self.nodes = sorted(map(manifest.task_id, manifest.built))

    def execute(self, context: Any) -> Any:
        """Publish; raises AirflowException if the site could not be changed."""
        skip_dry_run(context)
        states = states_of(context)
        without = {context["ti"].task_id, *self.later}
        if is_replaced(states, self.producer, self.nodes):
            without.add(self.producer)
        started = context["dag_run"].start_date
        request = PublishRequest(
            started_at=started.isoformat() if started else "",
            states={
                task_id: str(state or "none")
                for task_id, state in states.items()
                if task_id not in without
            },
            stale=self._stale(context),
        )
        result = None
        for line in self.lines(request=to_json(request)):
            self.log.info("%s", line)
            if line.startswith("{"):
                result = json.loads(line)
        return result

    def _stale(self, context: Any) -> tuple[str, ...]:
        """Return the ids of the stale sources; none if the task `freshness` has no result."""
        try:
            return tuple(sorted(stale_sources(context)))
        except AirflowFailException:
            return ()


class RecordOperator(DbtEnvironmentOperator):
    """Records the run's days as built, if every node is built; no later run builds them again.

    It checks all nodes itself, because its trigger rule covers only the last nodes of the graph,
    and such a node can succeed although a node upstream of it was skipped.
    """

    def __init__(self, *, nodes: Iterable[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nodes = sorted(nodes)

    def execute(self, context: Any) -> Any:
        """Record the days; raises AirflowSkipException with the nodes that are not built."""
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
