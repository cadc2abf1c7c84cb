"""The dbt process and its node results, with a real dbt on the small project."""

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
from include.build.node_results import BuildError, NodeResultCollector
from include.manifest import Manifest
from include.messages import (
    CROSS_MODEL_TESTS,
    FRESHNESS_LINE,
    RESULT_LINE,
    BuildRequest,
    FreshnessRequest,
    NodeResult,
    RunResult,
    StaleSources,
    from_json,
    to_json,
)
from include.settings import ROOT

SMALL = ROOT / "tests" / "pipeline" / "small_project"


class Build:
    """A copy of the package on the small project, and its builds."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(
            ROOT / "include", root / "include", ignore=shutil.ignore_patterns("__pycache__")
        )
        freshness = SMALL.parent / "small_freshness.py"
        shutil.copy(freshness, root / "include" / "lake" / "run_days" / "freshness.py")
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

    def start_build(self, **request: Any) -> subprocess.Popen[str]:
        """Start the dbt process and send it a request."""
        process = self.start("include.build.run_dbt")
        assert process.stdin
        process.stdin.write(to_json(BuildRequest(str(self.root / "art"), **request)) + "\n")
        process.stdin.flush()
        return process

    def build(self, **request: Any) -> tuple[int, dict[str, NodeResult]]:
        """Build; returns the exit code, and the node results by the name of the node."""
        process = self.start_build(**request)
        assert process.stdout
        lines = [line for line in process.stdout if RESULT_LINE in line]
        assert all(line.startswith(RESULT_LINE) for line in lines)
        results = [from_json(line.removeprefix(RESULT_LINE), NodeResult) for line in lines]
        named = {result.unique_id.split(".")[-1]: result for result in results}
        assert len(named) == len(results)
        return process.wait(), named


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    yield Build(tmp_path_factory.mktemp("build"))


ACROSS = "test.game_analytics.assert_no_event_is_lost"


def test_every_node_has_one_result_with_its_tests(build: Build) -> None:
    code, results = build.build(tests=(ACROSS,))
    assert code == 0
    assert {name: result.status for name, result in results.items()} == {
        **dict.fromkeys(
            ("event_types", "stg_events", "stg_bets", "int_events", "events_history"), "success"
        ),
        "fct_bets": "success",
        "dim_days": "warn",
        "cross_model_tests": "success",
    }
    lines = "\n".join(results["stg_events"].lines)
    assert "START sql table model marts.stg_events" in lines
    assert "PASS unique_stg_events_event_id" in lines
    assert "PASS not_null_stg_events_event_id" in lines
    assert results["stg_events"].problems == ()
    # The result of a good node is small, because it is stored in Airflow's database.
    assert all(len(to_json(result)) < 2_000 for result in results.values())
    (warning,) = results["dim_days"].problems
    assert warning.status == "warn"
    assert warning.message == "Got 1 result, configured to warn if != 0"
    assert (warning.sql, warning.rows) == ("", ())


def test_one_process_answers_for_the_stale_sources_then_builds_and_writes_the_catalog(
    build: Build,
) -> None:
    (build.root / "lake" / "stale.json").write_text('{"stale": ["source.p.s.t"]}')
    process = build.start("include.build.run_dbt")
    assert process.stdin
    assert process.stdout
    process.stdin.write(FRESHNESS_LINE + to_json(FreshnessRequest("")) + "\n")
    process.stdin.flush()
    answer = next(line for line in process.stdout if line.startswith(FRESHNESS_LINE))
    found = from_json(answer.removeprefix(FRESHNESS_LINE), StaleSources)
    assert found == StaleSources(("source.p.s.t",))
    # While the process waits it keeps no file of the warehouse open.
    build.load("(1, 'login'), (2, 'logout')")
    request = BuildRequest(str(build.root / "catalog"), select=("stg_bets",), catalog=True)
    process.stdin.write(to_json(request) + "\n")
    process.stdin.flush()
    assert sum(line.startswith(RESULT_LINE) for line in process.stdout) == 1
    assert process.wait() == 0
    catalog = json.loads((build.root / "catalog" / "catalog.json").read_bytes())
    assert "model.game_analytics.stg_bets" in catalog["nodes"]


def test_an_error_of_the_question_is_its_answer_and_nothing_is_built_without_a_request(
    build: Build,
) -> None:
    (build.root / "lake" / "stale.json").write_text("no JSON")
    process = build.start("include.build.run_dbt")
    printed, _ = process.communicate(FRESHNESS_LINE + to_json(FreshnessRequest("")) + "\n")
    (answer,) = [line for line in printed.splitlines() if line.startswith(FRESHNESS_LINE)]
    assert "JSONDecodeError" in from_json(answer.removeprefix(FRESHNESS_LINE), StaleSources).error
    assert (process.returncode, RESULT_LINE in printed) == (0, False)


def test_a_full_refresh_runs_its_tests_too(build: Build) -> None:
    code, results = build.build(tests=(ACROSS,), full_refresh=True)
    assert code == 0
    assert results["cross_model_tests"].status == results["int_events"].status == "success"


def test_a_failed_test_has_its_rows_and_its_downstream_is_skipped(build: Build) -> None:
    build.load("(1, 'login'), (1, 'logout')")
    code, results = build.build(tests=(ACROSS,))
    build.load("(1, 'login'), (2, 'logout')")
    # dbt finished: a failed test is no failure of its process.
    assert code == 0
    failed = results["stg_events"]
    assert failed.status == "fail"
    (problem,) = failed.problems
    assert problem.unique_id.split(".")[2] == "unique_stg_events_event_id"
    assert problem.rows == ({"unique_field": "1", "n_records": "2"},)
    assert "group by" in problem.sql
    assert results["int_events"].status == results["events_history"].status == "skipped"
    assert results["stg_bets"].status == "success"
    # Cross-model tests do not run if not all nodes are built.
    assert "cross_model_tests" not in results


def test_a_node_below_an_ephemeral_one_is_skipped_not_broken(build: Build) -> None:
    broken = build.root / "lake" / "broken"
    broken.mkdir()
    (broken / "stg_bets").touch()
    code, results = build.build()
    shutil.rmtree(broken)
    assert code == 0
    assert results["stg_bets"].status == "error"
    problem = results["stg_bets"].problems[0]
    assert "stg_bets is broken on purpose" in (problem.message or "")
    # dbt's own status of it is `error`.
    assert results["fct_bets"].status == "skipped"


def test_the_report_has_the_artifacts_and_results_of_the_process(
    build: Build, tmp_path: Path
) -> None:
    code, results = build.build(run_id="r", tests=(ACROSS,), report=str(tmp_path / "report"))
    assert code == 0
    folder = tmp_path / "report"
    written = json.loads((folder / "run_results.json").read_text())["results"]
    assert {result["unique_id"] for result in written} >= {
        r.unique_id for r in results.values()
    } - {CROSS_MODEL_TESTS}
    assert (folder / "manifest.json").is_file()
    assert list(folder.glob("compiled/**/fct_bets.sql"))
    lines = [line for path in sorted(folder.glob("events/*")) for line in path.open()]
    assert len(lines) == len(results)
    ended = from_json((folder / "result.json").read_text(), RunResult)
    assert (ended.run_id, ended.status) == ("r", "success")


@pytest.mark.parametrize("report", ["/dev/null/report", "s3://studio-docs/site/runs/r"])
def test_a_report_that_cannot_be_written_changes_nothing_else(build: Build, report: str) -> None:
    build.environment["AWS_PROFILE"] = "there-is-no-such-profile"
    process = build.start_build(select=("path:seeds/event_types.csv",), report=report)
    del build.environment["AWS_PROFILE"]
    assert process.stdout
    output = process.stdout.read()
    assert process.wait() == 0
    assert "warning: the" in output
    assert output.count(RESULT_LINE) == 1


def test_a_stopped_build_reports_what_it_has_built(build: Build, tmp_path: Path) -> None:
    gates = build.root / "lake" / "gates"
    gates.mkdir()
    (gates / "stg_events").touch()
    process = build.start_build(report=str(tmp_path / "report"))
    assert process.stdout
    has_result = is_waiting = False
    while not (has_result and is_waiting):
        line = process.stdout.readline()
        assert line
        has_result |= line.startswith(RESULT_LINE)
        is_waiting |= "START sql table model marts.stg_events" in line
    process.terminate()
    # dbt waits for the node that it is building. It starts no other one.
    shutil.rmtree(gates)
    assert process.wait(timeout=60) == 130
    ended = from_json((tmp_path / "report" / "result.json").read_text(), RunResult)
    assert ended.status == "stopped"
    assert list((tmp_path / "report").glob("events/*"))


def test_a_selection_builds_no_more_than_that(build: Build) -> None:
    code, results = build.build(select=("path:models/intermediate/int_events.sql",))
    assert (code, set(results)) == (0, {"int_events"})


def test_a_request_for_an_unknown_test_is_an_error(build: Build) -> None:
    process = build.start_build(select=("path:seeds/event_types.csv",), tests=("test.p.gone",))
    assert process.stdout
    assert process.stderr
    output, error = process.stdout.read(), process.stderr.read()
    assert process.wait() == 1
    assert "error: the project has no cross-model test test.p.gone: deploy the DAG" in error
    assert CROSS_MODEL_TESTS not in output


def test_dbt_ends_with_the_process_that_sent_the_request(build: Build) -> None:
    gates = build.root / "lake" / "gates"
    gates.mkdir()
    (gates / "stg_events").touch()
    process = build.start_build()
    assert process.stdin
    assert process.stdout
    for line in process.stdout:
        if "START sql table model marts.stg_events" in line:
            break
    # Both pipes close, as they do when the task's process is killed.
    process.stdin.close()
    process.stdout.close()
    assert process.wait(timeout=60) == 130
    shutil.rmtree(gates)


def test_a_project_that_does_not_parse_is_an_error(build: Build) -> None:
    model = build.root / "dbt" / "models" / "marts" / "fct_bets.sql"
    good = model.read_text()
    model.write_text("select * from {{ ref('nowhere') }}")
    process = build.start_build()
    assert process.stdout
    assert process.stderr
    output, error = process.stdout.read(), process.stderr.read()
    model.write_text(good)
    assert process.wait() == 1
    assert "error: dbt cannot parse the project" in error
    assert "nowhere" in error
    assert RESULT_LINE not in output


def test_a_lost_login_is_an_error_of_one_line_with_its_remedy(tmp_path: Path) -> None:
    collector = NodeResultCollector(Manifest({"nodes": {}}), tmp_path, "redshift", print)
    lost = DbtDatabaseError("{'S': 'FATAL',\n'M': 'password authentication failed for user'}")
    message = r"^dbt could not finish \(.*authentication failed.*\): the credentials .* again\.$"
    with pytest.raises(BuildError, match=message):
        collector.finish(dbtRunnerResult(success=False, exception=lost))


def test_rows_are_few_and_without_personal_data() -> None:
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
    lines = ["RAW_ROW", "payload", "first_player_id", "gender"]
    assert set(shown_rows(lines, [["Zoltan;42"] * 4], {}, ["player_id"])[0].values()) == {"***"}
    # The engineer needs the value of a column that is not personal.
    plain = shown_rows(["unique_field"], [("m1",)], {}, ["player_id"])
    assert plain == ({"unique_field": "m1"},)
