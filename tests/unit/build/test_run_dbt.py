"""The one dbt process: what it tells of each node, and when (a real dbt, the small project)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

import duckdb
from dbt.cli.main import dbtRunnerResult
from dbt_common.exceptions import DbtDatabaseError

from include.build.failing_rows import LIMIT, shown_rows
from include.build.run_dbt import BuildError, Newsroom
from include.manifest import Manifest
from include.settings import ROOT

SMALL = ROOT / "tests" / "pipeline" / "small_project"
PREFIX = "dbt-news "


class Build:
    """A copy of the package on the small project, and its builds."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(
            ROOT / "include", root / "include", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copytree(SMALL, root / "dbt")
        (root / "lake").mkdir()
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(root),
            "GAME_ANALYTICS_LAKE": str(root / "lake"),
            "GAME_ANALYTICS_DUCKDB": str(root / "warehouse.duckdb"),
            "GAME_ANALYTICS_DBT_EXECUTABLE": str(Path(sys.executable).with_name("dbt")),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_USE_COLORS": "false",
        }
        self.load("(1, 'login'), (2, 'logout')")
        made = self.start("include.manifest")
        assert made.wait() == 0

    def load(self, events: str) -> None:
        with duckdb.connect(str(self.root / "warehouse.duckdb")) as warehouse:
            warehouse.execute("create schema if not exists spectrum")
            warehouse.execute(
                "create or replace table spectrum.events as"
                f" from (values {events}) as t (event_id, event_type)"
            )
            warehouse.execute(
                "create or replace table spectrum.bets as"
                " from (values (1, '10')) as t (bet_id, amount)"
            )

    def start(self, module: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> tuple[int, dict[str, dict[str, Any]]]:
        """Build; the exit code, and the news by the name of the node."""
        process = self.start("include.build.run_dbt")
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps({"artifacts": str(self.root / "art"), **request}) + "\n")
        process.stdin.flush()
        lines = list(process.stdout)
        news = [json.loads(line.removeprefix(PREFIX)) for line in lines if PREFIX in line]
        assert all(line.startswith(PREFIX) for line in lines if PREFIX in line)
        named = {entry["unique_id"].split(".")[-1]: entry for entry in news}
        assert len(named) == len(news)
        return process.wait(), named


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    yield Build(tmp_path_factory.mktemp("build"))


def test_every_node_is_told_once_with_its_tests(build: Build) -> None:
    code, news = build.ask(tests=["assert_no_event_is_lost"])
    assert code == 0
    assert {name: entry["status"] for name, entry in news.items()} == {
        **dict.fromkeys(
            ("event_types", "stg_events", "stg_bets", "int_events", "events_history"), "success"
        ),
        "fct_bets": "success",
        "dim_days": "warn",
        "cross_model_tests": "success",
    }
    lines = "\n".join(news["stg_events"]["lines"])
    assert "START sql table model marts.stg_events" in lines
    assert "PASS unique_stg_events_event_id" in lines
    assert "PASS not_null_stg_events_event_id" in lines
    assert news["stg_events"]["results"] == []
    # What passed says nothing of itself but this; small, for it goes into Airflow's database.
    assert all(len(json.dumps(entry)) < 2_000 for entry in news.values())
    (warned,) = news["dim_days"]["results"]
    assert warned["status"] == "warn"
    assert warned["message"] == "Got 1 result, configured to warn if != 0"
    assert not {"rows", "sql"} & set(warned)


def test_a_full_refresh_has_its_tests_too(build: Build) -> None:
    code, news = build.ask(tests=["assert_no_event_is_lost"], full_refresh=True)
    assert code == 0
    assert news["cross_model_tests"]["status"] == news["int_events"]["status"] == "success"


def test_a_failed_test_tells_its_rows_and_what_hangs_on_it_is_skipped(build: Build) -> None:
    build.load("(1, 'login'), (1, 'logout')")
    code, news = build.ask(tests=["assert_no_event_is_lost"])
    build.load("(1, 'login'), (2, 'logout')")
    # dbt came to its end; what it found is not the fault of its process.
    assert code == 0
    failed = news["stg_events"]
    assert failed["status"] == "fail"
    (result,) = failed["results"]
    assert result["unique_id"].split(".")[2] == "unique_stg_events_event_id"
    assert result["rows"] == [{"unique_field": "1", "n_records": "2"}]
    assert "group by" in result["sql"]
    assert news["int_events"]["status"] == news["events_history"]["status"] == "skipped"
    assert news["stg_bets"]["status"] == "success"
    # Tests across nodes that are not all built would tell nothing.
    assert "cross_model_tests" not in news


def test_a_node_below_an_ephemeral_one_is_skipped_not_broken(build: Build) -> None:
    broken = build.root / "lake" / "broken"
    broken.mkdir()
    (broken / "stg_bets").touch()
    code, news = build.ask()
    shutil.rmtree(broken)
    assert code == 0
    assert news["stg_bets"]["status"] == "error"
    (result,) = news["stg_bets"]["results"][:1]
    assert "stg_bets is broken on purpose" in result["message"]
    # dbt calls it an error.
    assert news["fct_bets"]["status"] == "skipped"


def test_a_selection_builds_no_more_than_that(build: Build) -> None:
    code, news = build.ask(select=["fqn:game_analytics.intermediate.int_events"])
    assert (code, set(news)) == (0, {"int_events"})


def test_dbt_ends_with_whoever_asked(build: Build) -> None:
    gates = build.root / "lake" / "gates"
    gates.mkdir()
    (gates / "stg_events").touch()
    process = build.start("include.build.run_dbt")
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps({"artifacts": str(build.root / "art")}) + "\n")
    process.stdin.flush()
    for line in process.stdout:
        if "START sql table model marts.stg_events" in line:
            break
    # As when the task's process is killed: nobody writes, and nobody reads.
    process.stdin.close()
    process.stdout.close()
    assert process.wait(timeout=60) == 130
    shutil.rmtree(gates)


def test_a_project_that_does_not_parse_is_an_error(build: Build) -> None:
    model = build.root / "dbt" / "models" / "marts" / "fct_bets.sql"
    good = model.read_text()
    model.write_text("select * from {{ ref('nowhere') }}")
    process = build.start("include.build.run_dbt")
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.write(json.dumps({"artifacts": str(build.root / "art")}) + "\n")
    process.stdin.flush()
    said, error = process.stdout.read(), process.stderr.read()
    model.write_text(good)
    assert process.wait() == 1
    assert "error: dbt cannot parse the project" in error
    assert "nowhere" in error
    assert PREFIX not in said


def test_dbt_that_loses_its_login_says_in_one_line_what_to_do(tmp_path: Path) -> None:
    newsroom = Newsroom(Manifest({"nodes": {}}), tmp_path, "redshift", print)
    lost = DbtDatabaseError("{'S': 'FATAL',\n'M': 'password authentication failed for user'}")
    said = r"^dbt ended before its end \(.*authentication failed.*\): the credentials .* anew\.$"
    with pytest.raises(BuildError, match=said):
        newsroom.close(dbtRunnerResult(success=False, exception=lost))


def test_rows_are_few_and_show_nobody() -> None:
    test = {"test_metadata": {"kwargs": {"column_name": "player_id"}}}
    rows = [("p1", 3, "x" * 300, '{"email": "a@b"}', None)] * 20
    columns = ["unique_field", "n_records", "Note", "payload", "DEVICE_ID"]
    shown = shown_rows(columns, rows, test, ["player_id", "device_id"])
    assert len(shown) == LIMIT
    assert shown[0] == {
        "unique_field": "***",
        "n_records": "3",
        "note": "x" * 200,
        "payload": "***",
        "device_id": None,
    }
    # Of a column that is not personal, the value is what the engineer needs.
    plain = shown_rows(["unique_field"], [("m1",)], {}, ["player_id"])
    assert plain == [{"unique_field": "m1"}]
