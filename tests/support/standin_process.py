"""Starts the stand-in as a process of dbt's environment, for tests of Airflow's environment."""

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
    """A running stand-in, which is controlled by the files of its control folder."""

    def __init__(self, connection: Mapping[str, Any]) -> None:
        """Take the connection that the process prints when it is ready."""
        self.host: str = connection["host"]
        self.port: int = connection["port"]
        self.dbname: str = connection["dbname"]
        self.administrator = (connection["user"], connection["password"])
        self.control = Path(connection["control"])
        self.certificate: str = connection["ca"]

    @classmethod
    @contextmanager
    def start(cls, folder: Path, environment: Mapping[str, str]) -> Iterator[ClusterProcess]:
        """Start the process, and stop it at the end."""
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
        """The variables of `dbt/profiles.yml` for a user, and of the stand-in's certificate."""
        return {
            "REDSHIFT_HOST": self.host,
            "REDSHIFT_PORT": str(self.port),
            "REDSHIFT_USERNAME": user,
            "REDSHIFT_PASSWORD": password,
            "REDSHIFT_DBNAME": self.dbname,
            **self.trust(),
        }

    def trust(self) -> dict[str, str]:
        """The variable with which a client trusts the certificate authority of the stand-in."""
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
        """Make the next statements fail whose SQL or query group matches.

        Faults that have not struck yet stay. No statement may run during the call.
        """
        faults = [*self.faults(), {"match": match, "fault": fault, "times": times}]
        (self.control / "faults.json").write_text(json.dumps(faults))

    def faults(self) -> list[dict[str, Any]]:
        """The faults that have not struck yet."""
        path = self.control / "faults.json"
        faults: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        return faults

    @contextmanager
    def session(self) -> Iterator[Any]:
        """Open a cursor of the administrator, whose transaction is rolled back with the block."""
        user, password = self.administrator
        # The loopback interface needs no TLS, and the driver trusts only Amazon's certificates.
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
        """The rows of a table that a new transaction reads, sorted."""
        with self.session() as session:
            session.execute(f"select * from {table}")
            return sorted(map(repr, session.fetchall()))

    def set_password(self, user: str, password: str) -> None:
        """Change the password of a user; it appears in no command line."""
        with self.session() as session:
            session.execute(f"alter user {user} password '{password}'")
            session.execute("commit")

    def queries(self) -> list[dict[str, Any]]:
        """All statements so far."""
        return self._lines("queries.jsonl")

    def scans(self) -> list[dict[str, Any]]:
        """All scans of external tables so far."""
        return self._lines("scans.jsonl")

    def _lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.control / name).read_text().splitlines()]
