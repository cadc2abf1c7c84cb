"""The stand-in as a process of dbt's environment, for tests that run in Airflow's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redshift_connector

from include.settings import ROOT

PYTHON = ROOT / ".venv" / "dbt" / "bin" / "python"


class ClusterProcess:
    """A running stand-in; its control folder is read and written by file."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        """`told` is what the process prints when it is ready."""
        self.host: str = told["host"]
        self.port: int = told["port"]
        self.dbname: str = told["dbname"]
        self.administrator = (told["user"], told["password"])
        self.control = Path(told["control"])
        self.certificate: str = told["ca"]

    @classmethod
    @contextmanager
    def start(cls, folder: Path, environment: Mapping[str, str]) -> Iterator[ClusterProcess]:
        """Start it, and stop it at the end; skips with the reason where it cannot be installed."""
        with subprocess.Popen(
            [str(PYTHON), "-m", "tests.redshift_standin", str(folder)],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                pytest.fail(f"the stand-in ended with exit code {process.wait()}")
            try:
                yield cls(json.loads(line))
            finally:
                process.terminate()
                process.wait(30)

    def login(self, user: str, password: str) -> dict[str, str]:
        """The variables of `dbt/profiles.yml` for a user, who trusts the stand-in's certificate."""
        return {
            "REDSHIFT_HOST": self.host,
            "REDSHIFT_PORT": str(self.port),
            "REDSHIFT_USERNAME": user,
            "REDSHIFT_PASSWORD": password,
            "REDSHIFT_DBNAME": self.dbname,
            **self.trust(),
        }

    def trust(self) -> dict[str, str]:
        """What lets a client verify the stand-in's certificate as it verifies Amazon's."""
        return {"SSL_CERT_FILE": self.certificate}

    def bootstrap(self, **values: str) -> None:
        """Run `include/aws/bootstrap.sql` as the administrator, by `redshift_bootstrap`."""
        user, password = self.administrator
        subprocess.run(
            [str(PYTHON), "-m", "tests.support.redshift_bootstrap", json.dumps(values)],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **self.login(user, password)},
            check=True,
        )

    def inject(self, match: str, fault: str, times: int = 1) -> None:
        """Let a fault strike the next statements whose SQL or query group matches.

        Beside those that wait already; nothing may run meanwhile.
        """
        faults = [*self.faults(), {"match": match, "fault": fault, "times": times}]
        (self.control / "faults.json").write_text(json.dumps(faults))

    def faults(self) -> list[dict[str, Any]]:
        """The faults that have yet to strike."""
        path = self.control / "faults.json"
        faults: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        return faults

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A cursor of the administrator's, whose transaction ends with the block."""
        user, password = self.administrator
        # The loopback interface needs no TLS, and the driver trusts no certificate but Amazon's.
        with redshift_connector.connect(
            host=self.host,
            port=self.port,
            database=self.dbname,
            user=user,
            password=password,
            ssl=False,
        ) as connection:
            yield connection.cursor()
            connection.rollback()

    def rows(self, table: str) -> list[str]:
        """The rows of a table as anyone reads them now, in any order but sorted."""
        with self.session() as session:
            session.execute(f"select * from {table}")
            return sorted(map(repr, session.fetchall()))

    def set_password(self, user: str, password: str) -> None:
        """Give a user another password, which no command line shows."""
        with self.session() as session:
            session.execute(f"alter user {user} password '{password}'")
            session.execute("commit")

    def queries(self) -> list[dict[str, Any]]:
        """Every statement so far."""
        return self._lines("queries.jsonl")

    def scans(self) -> list[dict[str, Any]]:
        """Every external table that a statement has read so far."""
        return self._lines("scans.jsonl")

    def _lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.control / name).read_text().splitlines()]
