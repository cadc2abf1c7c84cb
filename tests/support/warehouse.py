"""Builds a warehouse from a lake in this process, and reads it.

`make build` starts three processes, and each dbt process takes 6 to 8 seconds, of which the build
of a small lake is one second. Here dbt parses the project once, and every build reuses the result.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import date
from functools import cache
from pathlib import Path
from unittest.mock import patch

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.artifacts.schemas.run import RunExecutionResult, RunResult
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest as DbtManifest
from dbt.contracts.graph.nodes import ModelNode

from include.lake.__main__ import main as lake_command
from include.lake.run_days.find import find_run_days
from include.lake.run_days.record import record_build
from include.manifest import PROJECT, Manifest
from include.settings import Settings
from include.warehouse.database import Database, open_database

Row = dict[str, object]

SCHEMAS = ("staging", "intermediate", "marts")
"""The schemas whose tables a build makes."""

FILE = "warehouse.duckdb"
"""The name of every warehouse file, because the parsed project holds the database's name."""

PREFIXES = ("GAME_ANALYTICS_", "DBT_", "REDSHIFT_")
"""The prefixes of variables that a build reads. The user's own variables are removed."""

WITHOUT_TESTS = ("--exclude-resource-type", "test", "unit_test")
"""The arguments of a build that only makes the tables, which takes a sixth of the time."""

WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
"""The arguments of a build with data tests; tests/unit/dbt/test_models.py runs the unit tests."""


@contextmanager
def environment(settings: Mapping[str, str], project: Path = PROJECT) -> Iterator[None]:
    """Set the environment of a dbt process in this process, with a target folder of its own.

    dbt writes compiled SQL and a parse cache to its target folder, so two processes that share a
    folder would read each other's incomplete files.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(PREFIXES)]:
            patch.delenv(name)
        folder = _scratch()
        patch.setenv("DBT_PROJECT_DIR", str(project))
        patch.setenv("DBT_PROFILES_DIR", str(project))
        patch.setenv("DBT_TARGET_PATH", str(folder / "target"))
        patch.setenv("DBT_LOG_PATH", str(folder / "logs"))
        # The log file and the artifacts take half of the time of a small build. No test reads them.
        patch.setenv("DBT_LOG_LEVEL_FILE", "none")
        patch.setenv("DBT_WRITE_JSON", "false")
        patch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


@cache
def _scratch_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="game_analytics_dbt_")


def _scratch() -> Path:
    """The folder for the files of this process, which is removed when the process ends."""
    return Path(_scratch_folder().name)


@cache
def _parsed(settings: tuple[tuple[str, str], ...], project: Path) -> tuple[DbtManifest, Manifest]:
    """The parsed project, for dbt and for the lake's commands, once per settings and project."""
    with environment(dict(settings), project):
        result = dbtRunner().invoke(["--quiet", "--write-json", "parse", "--no-partial-parse"])
        if not isinstance(result.result, DbtManifest):
            raise AssertionError(f"the dbt project does not parse: {result.exception}")
        return result.result, Manifest.read(_scratch() / "target" / "manifest.json")


class Warehouse:
    """A DuckDB file that is built from a lake. `settings` are further settings in lower case.

    `compiled` holds the SQL of each model of the last build, in the order of the build.
    """

    project = PROJECT

    def __init__(self, lake: Path, folder: Path, **settings: str) -> None:
        """The first build makes the file `FILE` in the folder."""
        given = {"lake": str(lake), "duckdb": str(folder / FILE), **settings}
        self.settings = Settings.from_env(
            {f"GAME_ANALYTICS_{name.upper()}": value for name, value in given.items()}
        )
        self.compiled: dict[str, str] = {}

    @property
    def variables(self) -> dict[str, str]:
        """The settings as variables of the environment."""
        return self.settings.as_environment()

    @property
    def variables_of_parse(self) -> dict[str, str]:
        """The settings with fixed paths, so that one parse serves warehouses of any path."""
        return self.variables | {
            "GAME_ANALYTICS_LAKE": str(_scratch()),
            "GAME_ANALYTICS_DUCKDB": str(_scratch() / FILE),
            # Only the first step of a run reads this setting.
            "GAME_ANALYTICS_ALLOW_LOST_ROWS": "",
        }

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """Open the warehouse in the way of the steps before and after dbt."""
        with (
            environment(self.variables),
            open_database(self.settings, timeout_seconds=0) as database,
        ):
            yield database

    @property
    def lake(self) -> Path:
        """The folder of the lake."""
        return Path(self.settings.lake)

    @property
    def _parsed(self) -> tuple[DbtManifest, Manifest]:
        # Each build reads the paths again. dbt may render every other setting while it parses.
        return _parsed(tuple(sorted(self.variables_of_parse.items())), self.project)

    def find(
        self, asked: tuple[date, date] | None = None, *, full_refresh: bool = False
    ) -> Mapping[str, list[str]]:
        """Run the first step of a run; returns the touched or requested days, by source."""
        with self.opened() as database:
            return find_run_days(
                database, self.settings, self._parsed[1], asked, full_refresh=full_refresh
            ).days

    def partitions(self) -> tuple[int, str]:
        """Run the command `partitions` in this process; returns exit code and standard error."""
        errors = io.StringIO()
        with (
            environment(self.variables),
            patch.object(Manifest, "read", lambda: self._parsed[1]),
            patch.object(sys, "argv", ["include.lake", "partitions"]),
            redirect_stdout(io.StringIO()),
            redirect_stderr(errors),
        ):
            return lake_command(), errors.getvalue()

    def dbt(self, *arguments: str) -> dict[str, str]:
        """Run `dbt build`; returns the message of each failed node, by name."""
        entries = self._invoke("build", *arguments)
        self.compiled = {
            f"{entry.node.schema}.{entry.node.name}": entry.node.compiled_code
            for entry in entries
            if isinstance(entry.node, ModelNode) and entry.node.compiled_code
        }
        return _failed(entries)

    def tests(self, select: str) -> dict[str, str]:
        """Run `dbt test` for data tests; returns the message of each that failed, by name."""
        return _failed(self._invoke("test", "--select", select, "--resource-type", "test"))

    def failing_rows(self, test: str, status: str = "fail") -> list[Row]:
        """Run one data test, which must end with this status, and return the rows that it finds."""
        (entry,) = self._invoke("test", "--resource-type", "test", "--select", test)
        assert str(entry.status) == status, entry.message
        return self.query(str(getattr(entry.node, "compiled_code", "")))

    def unit_tests(self) -> dict[str, str]:
        """Run dbt's unit tests; returns `pass` or the message of each, by model and name.

        The tables must exist, because dbt takes the types of a test's rows from them.
        """
        # `dbt build` runs a unit test only with its model, and skips all nodes below a failed one.
        return {
            entry.node.unique_id.split(".", 2)[2]: str(entry.message or entry.status)
            for entry in self._invoke("test", "--select", "resource_type:unit_test")
        }

    def _invoke(self, *arguments: str) -> Sequence[RunResult]:
        """Run dbt in this process."""
        with environment(self.variables, self.project):
            try:
                result = dbtRunner(manifest=self._parsed[0]).invoke(["--quiet", *arguments])
            finally:
                # The adapter holds the file open until the process ends.
                DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
        if result.exception:
            raise result.exception
        return _entries(result.result)

    def record(self, *, full_refresh: bool = False) -> None:
        """Run the last step of a run that succeeded."""
        with self.opened() as database:
            record_build(database, self.settings, self._parsed[1], full_refresh=full_refresh)

    def build(self, *arguments: str) -> Mapping[str, list[str]]:
        """Do a whole run, which must succeed; returns the touched days, by source."""
        full_refresh = "--full-refresh" in arguments
        days = self.find(full_refresh=full_refresh)
        failed = self.dbt(*arguments)
        assert not failed, failed
        self.record(full_refresh=full_refresh)
        return days

    def query(self, sql: str, *values: object) -> list[Row]:
        """The rows of a query."""
        with duckdb.connect(str(self.settings.duckdb_path)) as connection:
            return _rows(connection.execute(sql, values or None))

    def execute(self, statements: Iterable[str]) -> None:
        """Run statements that return nothing."""
        with duckdb.connect(str(self.settings.duckdb_path)) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, table: str) -> list[Row]:
        """All rows of a table, for example `marts.fct_sessions`."""
        return self.query(f"select * from {self.settings.schema_prefix}{table}")

    def tables(self) -> dict[str, list[Row]]:
        """All rows of all tables that a build makes, by table."""
        with duckdb.connect(str(self.settings.duckdb_path)) as connection:
            found = connection.execute(
                "select table_schema || '.' || table_name from information_schema.tables "
                "where table_type = 'BASE TABLE' and table_schema in (select unnest(?)) order by 1",
                [[f"{self.settings.schema_prefix}{schema}" for schema in SCHEMAS]],
            ).fetchall()
            return {name: _rows(connection.execute(f"select * from {name}")) for (name,) in found}


def _rows(cursor: duckdb.DuckDBPyConnection) -> list[Row]:
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _failed(entries: Iterable[RunResult]) -> dict[str, str]:
    return {
        entry.node.name: str(entry.message or entry.status)
        for entry in entries
        if str(entry.status) in {"error", "fail", "runtime error", "partial success"}
    }


def _entries(result: object) -> Sequence[RunResult]:
    return result.results if isinstance(result, RunExecutionResult) else ()
