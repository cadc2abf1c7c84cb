"""The command of the image in real containers on target `local`: its files, and how it ends.

Redshift and ECS are tested in `tests/deployment`. In a copy of the project, a model fails, waits or
hangs if the variable `CASE` asks for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include.manifest import Manifest
from include.settings import ROOT
from tests.support.engine import Engine

USER = 10001
SAMPLE = ("--days", "3", "--players", "5", "--seed", "7")
GATE = """
{%- if execute and env_var('CASE', '') == 'wait' -%}
    {#- DuckDB has no sleep function. Each of these queries can be cancelled. -#}
    {%- for _ in range(3000) -%}{%- do run_query('select sum(range) from range(20000000)') -%}
    {%- endfor -%}
{%- endif -%}
{%- if execute and env_var('CASE', '') == 'hang' -%}
    {#- This loop cannot be cancelled. -#}
    {%- for _ in range(90000) -%}{%- for _ in range(90000) -%}{%- endfor -%}{%- endfor -%}
{%- endif -%}
"""
TWICE = "{% if env_var('CASE', '') == 'fail' %} union all select * from final{% endif %}\n"
BROKEN = "{% if env_var('CASE', '') == 'fail' %} where no_such_column = 1{% endif %}\n"


@dataclass(frozen=True)
class Ended:
    """A container that has ended: its exit code, its output, and the folder of its report."""

    code: int
    output: str
    report: Path

    @property
    def result(self) -> dict[str, Any]:
        """The content of `result.json`."""
        content: dict[str, Any] = json.loads((self.report / "result.json").read_text())
        return content

    @property
    def events(self) -> dict[str, str]:
        """The status of each reported node, by name."""
        files = sorted((self.report / "events").glob("*.jsonl"))
        events = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        statuses = {event["unique_id"].split(".")[-1]: event["status"] for event in events}
        assert len(statuses) == len(events)
        return statuses


@dataclass(frozen=True)
class Place:
    """The folder with the lake and the reports that the containers mount."""

    engine: Engine
    folder: Path

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes of the project, from the manifest of the folder's copy."""
        return Manifest.read(self.folder / "project/dbt/target/manifest.json").built

    def options(self, **environ: str) -> list[str]:
        """Options of `podman run`: volumes and variables."""
        given = {
            "GAME_ANALYTICS_TARGET": "local",
            "GAME_ANALYTICS_LAKE": "/lake",
            "GAME_ANALYTICS_DOCS": "/docs",
            "GAME_ANALYTICS_DUCKDB": "/tmp/warehouse.duckdb",  # noqa: S108 - the only folder that the container can write
            **environ,
        }
        volumes = {"/lake": "lake", "/docs": "docs"}
        if "CASE" in environ:
            volumes["/app/dbt"] = "project/dbt:ro"
        mounted = [(inside, *name.split(":")) for inside, name in volumes.items()]
        return [
            *(f"--volume={self.folder / n}:{':'.join([to, *how])}" for to, n, *how in mounted),
            *(f"--env={name}={value}" for name, value in given.items()),
        ]

    def run(self, report: str, *command: str, **environ: str) -> Ended:
        """Run a container to its end. `report` is the expected folder of its report, below DOCS."""
        ended = self.engine.run(*command, options=self.options(**environ), check=False)
        return Ended(ended.returncode, ended.stdout + ended.stderr, self.folder / "docs" / report)

    def stop_at(self, line: str, report: str, command: Sequence[str], case: str) -> Ended:
        """Run a container until it prints a line, then stop it as ECS does."""
        name = f"game-analytics-{os.getpid()}-{case}"
        options = [f"--name={name}", *self.options(CASE=case)]
        words = self.engine.words(*command, options=options)
        with subprocess.Popen(
            ["podman", *words],
            env=self.engine.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout
            output = ""
            for text in process.stdout:
                output += text
                if line in text:
                    break
            # The container reports nodes that have ended every half second.
            time.sleep(1)
            self.engine.podman("stop", "--time=30", name)
            output += process.stdout.read()
        return Ended(process.returncode, output, self.folder / "docs" / report)


@pytest.fixture(scope="module")
def place(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("entry")
    # The user of the image must be able to read the folder.
    folder.chmod(0o755)
    _python(ROOT, "include.lake", "generate", *SAMPLE, GAME_ANALYTICS_LAKE=str(folder / "lake"))
    (folder / "docs").mkdir()
    os.chown(folder / "docs", USER, USER)
    # The step `partitions` writes the parsed rows of the ledger.
    os.chown(folder / "lake", USER, USER)
    project = folder / "project"
    left_out = shutil.ignore_patterns("__pycache__", "target", "logs")
    for name in ("include", "dbt"):
        shutil.copytree(ROOT / name, project / name, ignore=left_out)
    models = project / "dbt" / "models"
    games = models / "marts" / "betting" / "dim_games.sql"
    games.write_text(GATE + games.read_text() + TWICE)
    spend = models / "staging" / "marketing" / "stg_marketing__spend.sql"
    spend.write_text(spend.read_text() + BROKEN)
    _python(project, "include.manifest", GAME_ANALYTICS_LAKE=str(folder / "lake"))
    for name in ("partial_parse.msgpack", "perf_info.json"):
        (project / "dbt" / "target" / name).unlink()
    return Place(engine, folder)


def _python(root: Path, module: str, *words: str, **settings: str) -> None:
    dbt = str(Path(sys.executable).with_name("dbt"))
    environ = {**os.environ, "PYTHONPATH": str(root), "GAME_ANALYTICS_DBT_EXECUTABLE": dbt}
    command = [sys.executable, "-m", module, *words]
    subprocess.run(command, cwd=root, env=environ | settings, check=True, capture_output=True)


def test_a_good_build_leaves_a_complete_report(place: Place) -> None:
    ended = place.run("runs/nightly-1/build", "build", "--run-id", "nightly-1")
    assert ended.code == 0, ended.output
    assert ended.result == {
        "run_id": "nightly-1",
        "status": "success",
        "message": f"{len(place.nodes)} nodes built",
        "exit_code": 0,
        "failed": [],
    }
    assert {"success", "warn"} >= set(ended.events.values())
    assert {"event_types", "stg_game_events", "rpt_daily_kpis", "cross_model_tests"} <= set(
        ended.events
    )
    # Each node has one event, and so have the cross-model tests.
    assert len(ended.events) == len(place.nodes) + 1
    assert "model.game_analytics.rpt_daily_kpis success" in ended.output

    def read(name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((ended.report / name).read_text())
        return content

    nodes = read("manifest.json")["nodes"]
    results = [entry["unique_id"] for entry in read("run_results.json")["results"]]
    tests = {node for node in nodes if node.startswith("test.")}
    assert len(results) == len(set(results))
    # The tests of the second command are included.
    assert tests == set(results) & tests
    assert "model.game_analytics.rpt_daily_kpis" in results
    # The run is published, with its dbt docs.
    run = json.loads((ended.report.parent / "run.json").read_text())
    assert (run["outcome"], run["notes"]) == ("success", [])
    published = ended.report.parent / run["publication"]
    described = json.loads((published / "catalog.json").read_text())["nodes"]
    assert "dau" in described["model.game_analytics.rpt_daily_kpis"]["columns"]
    assert (published / "dbt" / "index.html").is_file()
    assert run["publication"] in (place.folder / "docs" / "index.html").read_text()
    fresh = {entry["unique_id"]: entry["status"] for entry in read("sources.json")["results"]}
    assert fresh["source.game_analytics.game_events.raw_events"] == "pass"
    compiled = ended.report / "compiled/game_analytics/models/marts/kpis/rpt_daily_kpis.sql"
    assert "select" in compiled.read_text()
    log = (ended.report / "dbt.log").read_text()
    # Only the first command parses the project.
    assert log.count("Unable to do partial parsing") == 1
    # No unfinished file is left.
    assert list(ended.report.rglob(".*")) == []


def test_a_wrong_command_line_has_no_effect(place: Place) -> None:
    before = sorted((place.folder / "docs").rglob("*"))
    ended = place.run("", "build", "--run-id", "a/b")
    assert ended.code == 2
    assert "'a/b': use letters, digits and . _ - only." in ended.output
    assert sorted((place.folder / "docs").rglob("*")) == before


def test_a_missing_lake_is_reported(place: Place) -> None:
    command = ("build", "--run-id", "no-lake")
    ended = place.run("runs/no-lake/build", *command, GAME_ANALYTICS_LAKE="/nowhere")
    assert ended.code == 1
    assert ended.result["status"] == "error"
    assert ended.result["message"].startswith("the lake /nowhere does not exist: land events with")
    # A failed run is published as well.
    run = json.loads((ended.report.parent / "run.json").read_text())
    assert (run["outcome"], run["message"]) == ("failed", ended.result["message"])
    assert f"error: {ended.result['message']}" in ended.output


def test_failed_nodes_are_named_and_the_other_nodes_are_built(place: Place) -> None:
    command = ("build", "--run-id", "wrong")
    ended = place.run("runs/wrong/build", *command, CASE="fail")
    assert ended.code == 1, ended.output
    result = ended.result
    assert (result["status"], result["exit_code"]) == ("failed", 1)
    failed = {entry["node"]: entry for entry in result["failed"]}
    assert set(failed) == {"dim_games", "stg_marketing__spend"}
    assert failed["dim_games"]["status"] == "fail"
    assert failed["stg_marketing__spend"]["status"] == "error"
    assert "no_such_column" in failed["stg_marketing__spend"]["message"]
    assert "dim_games" in result["message"]
    assert result["message"].startswith(f"of {len(place.nodes)} nodes these failed: ")
    assert ended.events["int_marketing_spend"] == "skipped"
    assert ended.events["fct_sessions"] == "success"
    assert "cross_model_tests" not in ended.events


def test_a_stopped_build_cancels_its_queries_and_reports(place: Place) -> None:
    command = ("build", "--run-id", "stopped")
    began = "START sql incremental model marts.dim_games"
    ended = place.stop_at(began, "runs/stopped/build", command, "wait")
    assert ended.code == 143, ended.output
    assert ended.result["status"] == "stopped"
    assert ended.result["exit_code"] == 143
    assert ended.result["message"].startswith("stopped by SIGTERM")
    assert ended.events["stg_ledger__games"] == "success"
    # Which other nodes ended before the stop depends on the time.
    assert ended.events.get("dim_games") != "success"
    assert "cross_model_tests" not in ended.events
    assert (ended.report / "dbt.log").exists()


def test_a_stopped_build_reports_and_ends_even_if_dbt_hangs(place: Place) -> None:
    command = ("build", "--run-id", "hung")
    began = "START sql incremental model marts.dim_games"
    ended = place.stop_at(began, "runs/hung/build", command, "hang")
    # The exit code would be 137 if podman had killed the container after 30 seconds.
    assert ended.code == 143, ended.output
    assert ended.result["status"] == "stopped"
    assert ended.events["stg_ledger__games"] == "success"


def test_a_report_that_cannot_be_written_is_an_error(place: Place) -> None:
    command = ("dbt", "build", "--select", "event_types")
    ended = place.run("", *command, GAME_ANALYTICS_DOCS="/app/docs")
    assert ended.code == 1
    assert "seed.game_analytics.event_types success" in ended.output
    assert "/app/docs" in ended.output.partition("error: built, but the report is incomplete:")[2]


def test_the_command_follow_builds_the_request_of_a_dag_run(place: Place) -> None:
    root = place.folder / "docs" / "runs" / "scheduled" / "dbt_build-1"
    root.mkdir(parents=True)
    for folder in (root, root.parent, root.parent.parent):
        os.chown(folder, USER, USER)
    selected = ["event_types", "stg_marketing__spend"]
    request = {"artifacts": "", "run_id": "scheduled__1", "select": selected}
    (root / "request.json").write_text(json.dumps(request))
    uri = "/docs/runs/scheduled/dbt_build-1/request.json"
    ended = place.run("runs/scheduled/dbt_build-1", "follow", "--request", uri)
    # The external tables do not exist, so this node fails, but only its own task must fail.
    assert ended.code == 0, ended.output
    assert ended.events == {"event_types": "success", "stg_marketing__spend": "error"}
    assert ended.result["run_id"] == "scheduled__1"
    assert ended.result["status"] == "failed"
    assert [entry["node"] for entry in ended.result["failed"]] == ["stg_marketing__spend"]


def test_a_missing_request_is_reported(place: Place) -> None:
    uri = "/docs/runs/gone/request.json"
    ended = place.run("runs/gone", "follow", "--request", uri)
    assert ended.code == 1
    assert ended.result["status"] == "error"
    assert "there is no request.json below /docs/runs/gone" in ended.result["message"]


def test_the_command_dbt_writes_its_report_to_container_artifacts(place: Place) -> None:
    environ = {"CONTAINER_ARTIFACTS": "/docs/cosmos/event_types"}
    command = ("dbt", "build", "--select", "event_types", "--no-use-colors")
    ended = place.run("cosmos/event_types", *command, **environ)
    assert ended.code == 0, ended.output
    assert ended.events == {"event_types": "success"}
    assert ended.result["status"] == "success"
    results = json.loads((ended.report / "run_results.json").read_text())["results"]
    assert "seed.game_analytics.event_types" in {entry["unique_id"] for entry in results}
