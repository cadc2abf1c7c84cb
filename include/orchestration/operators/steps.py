"""Tasks that run a program of dbt's environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from include.manifest import install_dbt
from include.orchestration import connection as warehouse
from include.orchestration.operators.artifacts import artifacts_of
from include.orchestration.operators.selection import form_of, is_dry_run, skip_dry_run
from include.run_form import RunForm
from include.settings import ROOT, Settings


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
