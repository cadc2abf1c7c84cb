"""A replica in a folder of what MWAA's image for Airflow 3.3.1 does with a package.

The replica follows the image's source (github.com/aws/amazon-mwaa-docker-images):
- It has an environment with the image's packages under the image's constraints.
- `startup.sh` is sourced on every component.
- pip installs `requirements.txt` under both constraint files.
- Each component of Airflow runs in the environment that its own start-up left, with Celery between
  scheduler and worker.

It differs from the image in these points: the folder is not /usr/local/airflow, Celery's broker is
a folder instead of SQS, the database is SQLite instead of PostgreSQL, and the operating system is
not Amazon Linux.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from include.deployment.mwaa.package import MWAA_HOME
from include.laptop.airflow import Client
from include.settings import ROOT

CONSTRAINTS = Path(__file__).parent / "constraints"
AIRFLOW_CONSTRAINTS = CONSTRAINTS / "airflow_constraints.txt"
ESSENTIAL = CONSTRAINTS / "mwaa_essential_constraints.txt"
PACKAGES = (
    "apache-airflow-providers-amazon[aiobotocore]",
    "apache-airflow[celery,statsd]==3.3.1",
    "apache-airflow-core[gunicorn]==3.3.1",
    "apache-airflow-providers-postgres",
    "apache-airflow-providers-fab",
    "celery[sqs]",
    "watchtower",
    "fluent-logger",
    "virtualenv",
    "apache-airflow-providers-standard",
)
"""The packages of the image, without type stubs and those that must be compiled (psycopg2)."""
PROGRAMS = (
    *("bash", "sh", "cat", "cmp", "env", "ldconfig", "mktemp", "mv", "rm", "tail", "timeout"),
    *("uname", "git"),
)
"""The only programs on the PATH of the replica. The image has no compiler, so none is here."""
SOURCE = """
shopt -s expand_aliases
alias exit=return
source "$MWAA__CORE__STARTUP_SCRIPT_PATH"
python3 - <<'PYTHON'
import json, os
with open(os.environ["CUSTOMER_ENV_VARS"], "w") as file:
    json.dump(dict(os.environ), file)
PYTHON
"""
"""How the image sources `startup.sh`: what the script exports becomes Airflow's environment."""
STARTUP_SECONDS = 295
QUIET = "--skip-serve-logs"
COMPONENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "scheduler": {"scheduler": (QUIET,), "dag-processor": (), "triggerer": (QUIET,)},
    "webserver": {"api-server": ()},
    "worker": {"celery worker": (QUIET, "--concurrency", "3")},
}
"""Per component: the commands of Airflow that its container runs, with their arguments.

QUIET is given because a log server would listen on every address of this machine.
"""
HOST = "127.0.0.1"
TIMEOUT_SECONDS = 600


def python_3_12() -> Path:
    """A Python 3.12, from the PATH or beside the running interpreter; skips the test if none."""
    beside = sorted(Path(sys.base_prefix).parent.glob("*/bin/python3.12"))
    for candidate in [shutil.which("python3.12"), *map(str, beside)]:
        if candidate is None:
            continue
        ended = subprocess.run(
            [candidate, "-c", "import ensurepip"], stderr=subprocess.DEVNULL, check=False
        )
        if ended.returncode == 0:
            return Path(candidate)
    pytest.skip("no Python 3.12 found, which MWAA's image has and its constraints need")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


@dataclass
class Image:
    """The replica with a package in it; `home` takes the place of /usr/local/airflow."""

    root: Path
    options: Mapping[str, str]
    extra: Mapping[str, str]
    port: int = field(default_factory=free_port)
    exported: dict[str, dict[str, str]] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """AIRFLOW_HOME."""
        return self.root / "airflow"

    @property
    def dags(self) -> Path:
        """The DAG folder, to which MWAA syncs the bucket."""
        return self.home / "dags"

    @property
    def python(self) -> Path:
        """The Python of the image."""
        return self.root / "image" / "bin" / "python3"

    @property
    def url(self) -> str:
        """The address of the web server."""
        return f"http://{HOST}:{self.port}"

    def build(self) -> None:
        """Install what the image itself has."""
        began = time.monotonic()
        self._uv("venv", "--seed", "--python", str(python_3_12()), str(self.root / "image"))
        self._uv(
            *("pip", "install", "--only-binary", ":all:", "--compile-bytecode"),
            *("--python", str(self.python), "--constraint", str(AIRFLOW_CONSTRAINTS)),
            *("--constraint", str(ESSENTIAL), *PACKAGES),
        )
        programs = self.root / "bin"
        programs.mkdir()
        for program in PROGRAMS:
            if found := shutil.which(program):
                (programs / program).symlink_to(found)
        for folder in ("dags", "plugins", "startup", "requirements", "python", "broker/done"):
            (self.home / folder).mkdir(parents=True)
        self.seconds["image"] = time.monotonic() - began

    def _uv(self, *arguments: str) -> None:
        cache = {"UV_CACHE_DIR": str(ROOT / ".venv" / "cache"), "UV_SYSTEM_CERTS": "1"}
        command = [str(ROOT / ".venv" / "uv" / "bin" / "uv"), "--quiet", *arguments]
        subprocess.run(command, env=os.environ | cache, check=True)

    def put(self, package: Path) -> None:
        """Copy the package into the image, as MWAA does before it starts a component."""
        shutil.copytree(package / "dags", self.dags, dirs_exist_ok=True)
        with zipfile.ZipFile(package / "plugins.zip") as archive:
            archive.extractall(self.home / "plugins")
        # requirements.txt names /usr/local/airflow.
        requirements = (package / "requirements.txt").read_text()
        requirements = requirements.replace(MWAA_HOME, str(self.home))
        (self.home / "requirements" / "requirements.txt").write_text(requirements)
        shutil.copy(package / "startup.sh", self.home / "startup")
        for path in self.dags.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)

    def environment(self, component: str) -> dict[str, str]:
        """The variables of a component's container, with those that its startup script exported."""
        home = self.home
        opinionated = {
            "AIRFLOW__CORE__EXECUTE_TASKS_NEW_PYTHON_INTERPRETER": "True",
            "AIRFLOW__SCHEDULER__SCHEDULE_AFTER_TASK_EXECUTION": "False",
            "PIP_USER": "1",
        }
        essential = {
            "PATH": f"{self.python.parent}:{self.root / 'bin'}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.root / "tmp"),
            "PYTHONPATH": str(home / "python"),
            "PYTHONUNBUFFERED": "1",
            # MWAA does not set this; here a test checks that nothing is written below dags/.
            "PYTHONDONTWRITEBYTECODE": "1",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONSTRAINTS_FILE": str(AIRFLOW_CONSTRAINTS),
            "AIRFLOW_ENV_NAME": "games",
            "MWAA_AIRFLOW_COMPONENT": component,
            "MWAA_COMMAND": component,
            "MWAA__CORE__STARTUP_SCRIPT_PATH": str(home / "startup" / "startup.sh"),
            "CUSTOMER_ENV_VARS": str(self.root / "customer_env_vars.json"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": "cGFja2FnZS1wYWNrYWdlLXBhY2thZ2UtcGFja2FnZS0=",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": "of-a-test",
            "AIRFLOW__API_AUTH__JWT_SECRET": "of-a-test-of-a-test-of-a-test-of-a-test-of-a-test-1",
            "AIRFLOW__API_AUTH__JWT_ALGORITHM": "HS256",
            "AIRFLOW__CELERY__BROKER_URL": "filesystem://",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+sqlite:///{home / 'results.db'}",
            "AIRFLOW__CELERY__WORKER_ENABLE_REMOTE_CONTROL": "False",
            "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": json.dumps(
                {
                    "broker_transport_options": {
                        "data_folder_in": str(home / "broker"),
                        "data_folder_out": str(home / "broker"),
                        "control_folder": str(home / "broker" / "done"),
                        "polling_interval": 0.2,
                    }
                }
            ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "AIRFLOW__SCHEDULER__STANDALONE_DAG_PROCESSOR": "True",
            "AIRFLOW__TRIGGERER__QUEUES_ENABLED": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        exported = self.exported.get(component, {})
        return {**opinionated, **exported, **self.options, **self.extra, **essential}

    def start_up(self, component: str) -> str:
        """Source `startup.sh` as a component does; returns what it printed."""
        (self.root / "tmp").mkdir(exist_ok=True)
        # A new container has none of the exports of the container before it.
        self.exported.pop(component, None)
        before = self.environment(component)
        written = Path(before["CUSTOMER_ENV_VARS"])
        written.unlink(missing_ok=True)
        began = time.monotonic()
        ended = subprocess.run(
            ["bash", "-c", SOURCE],
            cwd=self.home,
            env=before,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STARTUP_SECONDS,
            check=False,
        )
        self.seconds[f"startup.sh on {component}"] = time.monotonic() - began
        # MWAA does not start a component if this file is missing.
        after = json.loads(written.read_text())
        own = {"PWD", "SHLVL", "_", "OLDPWD"}
        self.exported[component] = {
            name: value
            for name, value in after.items()
            if name not in own and before.get(name) != value
        }
        return ended.stdout

    def install_requirements(self) -> str:
        """Install `requirements.txt` as the image's `safe-pip-install` does; returns pip's output.

        The image only logs a failure. Here it is an AssertionError.
        """
        began = time.monotonic()
        installed = subprocess.run(
            [
                *(str(self.python), "-m", "pip", "install", "--disable-pip-version-check"),
                *("-r", str(self.home / "requirements" / "requirements.txt")),
                *("-c", str(AIRFLOW_CONSTRAINTS), "-c", str(ESSENTIAL)),
            ],
            env={**self.environment("worker"), "PIP_USER": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert installed.returncode == 0, installed.stdout
        self.seconds["requirements.txt"] = time.monotonic() - began
        return installed.stdout

    def migrate(self) -> None:
        """Migrate Airflow's database, for which MWAA has a container of its own."""
        subprocess.run(
            [str(self.python), "-m", "airflow", "db", "migrate"],
            env=self.environment("migrate-db"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )

    def run(
        self, *command: str, component: str = "worker", cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the image in a component's environment."""
        return subprocess.run(
            command,
            cwd=cwd or self.home,
            env=self.environment(component),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    @contextlib.contextmanager
    def up(self) -> Iterator[Client]:
        """Start all components, and stop them at the end."""
        logs = self.home / "logs"
        logs.mkdir(exist_ok=True)
        try:
            for component, commands in COMPONENTS.items():
                for command, arguments in commands.items():
                    with (logs / f"{command.replace(' ', '-')}.log").open("wb") as output:
                        self.processes[command] = subprocess.Popen(
                            [str(self.python), "-m", "airflow", *command.split(), *arguments],
                            cwd=self.home,
                            env=self.environment(component),
                            stdin=subprocess.DEVNULL,
                            stdout=output,
                            stderr=subprocess.STDOUT,
                            start_new_session=True,
                        )
            client = Client(self.url)
            self.until("the web server answers", client.answers)
            yield client
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop every process that was started, with its process group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            for process in self.processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
        self.processes.clear()

    def until(self, what: str, happens: Callable[[], Any]) -> Any:
        """Wait until `happens` returns a true value, and return it.

        Raises AssertionError with `what` and the last log lines after TIMEOUT_SECONDS.
        """
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            for command, process in self.processes.items():
                assert process.poll() is None, f"{command} has ended: {self.tail(command)}"
            with contextlib.suppress(Exception):
                if result := happens():
                    return result
            time.sleep(0.3)
        logs = "\n".join(self.tail(command) for command in self.processes)
        raise AssertionError(f"{what}: not within {TIMEOUT_SECONDS} s\n{logs}")

    def tail(self, command: str) -> str:
        """The last lines of the log of an Airflow command."""
        log = self.home / "logs" / f"{command.replace(' ', '-')}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-30:])

    def dag_files(self) -> dict[str, str]:
        """The SHA-256 of every file below dags/, by path."""
        return {
            path.relative_to(self.dags).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.dags.rglob("*")
            if path.is_file()
        }
