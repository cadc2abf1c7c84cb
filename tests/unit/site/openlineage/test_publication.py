"""The events of a published run, as a backend on loopback gets them from a real small build."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

import attr
import duckdb

from include.artifacts import run_folder
from include.messages import PublishRequest, to_json
from include.settings import ROOT
from include.site.openlineage.events import PRODUCER
from tests.support.openlineage_backend import SCHEMA, Backend, Event, backend, findings

SMALL = ROOT / "tests" / "pipeline" / "small_project"
RUN = "scheduled__2026-11-30T04:30:00+00:00"
STARTED = "2026-11-30T04:30:01.123456+00:00"
KEY = "key-of-the-backend"
WITHOUT_DBT = {"GAME_ANALYTICS_DBT_EXECUTABLE": "/bin/false"}
"""For a publication after the first one: dbt makes no docs, and lineage is that of the first."""
EVENTS = "{name: event_id}, {name: event_type}"
BETS = (
    "{name: bet_id}, {name: amount}, {name: details},"
    " {name: player, config: {meta: {personal_data: identifier}}}"
)
MODELS = {
    "rpt_bets": """
        select
            b.bet_id,
            sum(b.amount) as amount,
            length(b.player) as player_length,
            max(sum(b.amount)) over (partition by b.bet_id) as highest,
            case when b.player = 'x' then 1 else 2 end as kind,
            b.details ->> 'device' as device
        from {{ source('ledger', 'bets') }} as b
        left join {{ ref('stg_events') }} as e on b.bet_id = e.event_id
        where e.event_type <> 'z'
        group by 1, 3, 5, 6
    """,
    "rpt_events": "select event_id, count(*) as n from {{ ref('int_events') }} group by 1",
    "rpt_broken": "select cast(player as integer) as n from {{ source('ledger', 'bets') }}",
    "rpt_below": "select n from {{ ref('rpt_broken') }}",
}
DESCRIBED = """
version: 2
models:
  - name: rpt_bets
    description: Bets. One row per bet.
    columns:
      - {name: bet_id, description: Id of the bet., data_type: integer}
      - name: amount
        data_type: bigint
        data_tests: [{accepted_values: {arguments: {values: [-1]}}}]
"""


class Package:
    """A copy of the package on the small project, which is built once and published often."""

    def __init__(self, root: Path) -> None:
        self.root = root
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "include", root / "include", ignore=ignored)
        shutil.copytree(SMALL, root / "dbt")
        marts = root / "dbt" / "models" / "marts"
        for name, sql in MODELS.items():
            (marts / f"{name}.sql").write_text(sql)
        (marts / "described.yml").write_text(DESCRIBED)
        project = root / "dbt" / "models" / "project.yml"
        project.write_text(
            project.read_text()
            .replace("[{name: bets}]", f"[{{name: bets, columns: [{BETS}]}}]")
            .replace("[{name: events}]", f"[{{name: events, columns: [{EVENTS}]}}]")
        )
        self._without_macros(root / "include" / "site" / "lineage" / "personal_data.yml")
        (root / "lake").mkdir()
        self.docs = root / "docs"
        self.environment = {
            **{name: value for name, value in os.environ.items() if "OPENLINEAGE" not in name},
            "PYTHONPATH": str(root),
            "GAME_ANALYTICS_LAKE": str(root / "lake"),
            "GAME_ANALYTICS_DOCS": str(self.docs),
            "GAME_ANALYTICS_DUCKDB": str(root / "warehouse.duckdb"),
            "GAME_ANALYTICS_DBT_EXECUTABLE": str(Path(sys.executable).with_name("dbt")),
            "AIRFLOW_CTX_DAG_ID": "game_analytics",
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }
        with duckdb.connect(str(root / "warehouse.duckdb")) as warehouse:
            warehouse.execute("create schema spectrum")
            warehouse.execute(
                "create table spectrum.events as"
                " from (values (1, 'login'), (2, 'logout')) as t (event_id, event_type)"
            )
            warehouse.execute(
                "create table spectrum.bets as from (values (1, 10, 'ann', '{}'::json))"
                " as t (bet_id, amount, player, details)"
            )
        self.run("include.manifest")
        self._build()

    def _build(self) -> None:
        """Build as plain dbt does, and leave its artifacts where the task of a run does."""
        target = self.root / "target"
        dbt = str(Path(sys.executable).with_name("dbt"))
        folders = ("--project-dir", "dbt", "--profiles-dir", "dbt", "--target-path", str(target))
        without = ("--exclude-resource-type", "unit_test")
        built = subprocess.run(
            [dbt, "--log-path", str(target), "build", *without, *folders],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        # One model is broken.
        assert built.returncode == 1, built.stdout + built.stderr
        place = self.docs / run_folder(RUN) / "build" / "try_1-a"
        place.mkdir(parents=True)
        for name in ("manifest.json", "run_results.json"):
            shutil.copy(target / name, place)

    @staticmethod
    def _without_macros(path: Path) -> None:
        """The small project has no macros that are breakers."""
        content = yaml.safe_load(path.read_text())
        for name in ("masked", "masked_text", "age_band"):
            content["breakers"].pop(name)
        path.write_text(yaml.safe_dump(content))

    def run(self, module: str, *words: str, request: object = None, **given: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=self.root,
            env={**self.environment, **given},
            input=f"{to_json(request)}\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr + done.stdout

    def publish(self, url: str = "", **given: str) -> str:
        """Publish the run; returns what the command has printed."""
        request = PublishRequest(STARTED, {"rpt_broken": "failed", "fct_bets": "success"})
        words = ("publish", "--run-id", RUN, "--request")
        given["GAME_ANALYTICS_OPENLINEAGE_URL"] = url
        return self.run("include.site", *words, request=request, **given)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return Package(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def sent(package: Package) -> Iterator[Backend]:
    """A backend that has the events of a run with a broken model."""
    with backend() as server:
        output = package.publish(f"{server.url}/prefix", OPENLINEAGE_API_KEY=KEY)
        assert f"sent {len(server.events)} events" in output
        assert KEY not in output
        yield server


def events_of(server: Backend, job: str) -> list[Event]:
    """The events of a job, whose name ends like this, in the order of the run."""
    return [event for event in server.events if event["job"]["name"].endswith(job)]


def output_of(server: Backend, job: str) -> dict[str, Any]:
    (output,) = events_of(server, job)[-1]["outputs"]
    assert isinstance(output, dict)
    return output


def test_every_event_is_valid_by_the_schemas(sent: Backend) -> None:
    assert len(sent.events) > 20
    assert [finding for event in sent.events for finding in findings(event)] == []
    facets = Counter[str]()
    for event in sent.events:
        places = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
        for place in places:
            for kind in ("facets", "inputFacets", "outputFacets"):
                facets.update(list(place.get(kind) or ()))
    known = {"parent", "errorMessage", "test", "jobType", "sql", "documentation", "schema"}
    known |= {"dataSource", "ownership", "symlinks", "columnLineage", "dataQualityAssertions"}
    # Views and tables of DuckDB report no number of rows.
    assert set(facets) <= known | {"outputStatistics"}
    assert set(facets) >= known
    text = json.dumps(sent.events)
    assert set(re.findall(r'"_?producer": "([^"]+)"', text)) == {PRODUCER}


def test_a_wrong_event_is_not_valid(sent: Backend) -> None:
    """The check of the schemas can fail."""
    complete = json.dumps(events_of(sent, "rpt_bets.build.run")[-1])
    for old, new in (
        ('"eventType": "COMPLETE"', '"eventType": "DONE"'),
        ('"type": "DIRECT"', '"type": "STRAIGHT"'),
        ('"masking": true', '"masking": "yes"'),
        ('"query": ', '"text": '),
        ('"runId": "', '"runId": "x'),
        ("ColumnLineageDatasetFacet.json", "ColumnLineage.json"),
    ):
        assert old in complete
        assert findings(json.loads(complete.replace(old, new, 1))), new


CLASSES = {
    "RunEvent": "event_v2",
    "ParentRunFacet": "parent_run",
    "ErrorMessageRunFacet": "error_message_run",
    "TestRunFacet": "test_run",
    "TestExecution": "test_run",
    "JobTypeJobFacet": "job_type_job",
    "SQLJobFacet": "sql_job",
    "DocumentationJobFacet": "documentation_job",
    "SchemaDatasetFacet": "schema_dataset",
    "SchemaDatasetFacetFields": "schema_dataset",
    "DatasourceDatasetFacet": "datasource_dataset",
    "DocumentationDatasetFacet": "documentation_dataset",
    "OwnershipDatasetFacet": "ownership_dataset",
    "Owner": "ownership_dataset",
    "SymlinksDatasetFacet": "symlinks_dataset",
    "Identifier": "symlinks_dataset",
    "ColumnLineageDatasetFacet": "column_lineage_dataset",
    "Fields": "column_lineage_dataset",
    "InputField": "column_lineage_dataset",
    "Transformation": "column_lineage_dataset",
    "DataQualityAssertionsDatasetFacet": "data_quality_assertions_dataset",
    "Assertion": "data_quality_assertions_dataset",
    "OutputStatisticsOutputDatasetFacet": "output_statistics_output_dataset",
}


@pytest.mark.parametrize("name", CLASSES)
def test_the_schemas_are_those_of_the_client(name: str) -> None:
    """The client's classes are generated from OpenLineage's own schemas."""
    folder = "" if name == "RunEvent" else "generated."
    found = getattr(importlib.import_module(f"openlineage.client.{folder}{CLASSES[name]}"), name)
    fields = [one for one in attr.fields(found) if not one.name.startswith("_")]
    schema = SCHEMA["$defs"][name]
    assert {one.name for one in fields} == set(schema["properties"]) - {"_schemaURL"}
    required = {one.name for one in fields if one.default is attr.NOTHING}
    assert required == set(schema.get("required", ())) - {"producer", "schemaURL"}
    if "_schemaURL" in schema["properties"]:
        assert schema["properties"]["_schemaURL"]["const"] == found._get_schema()


def test_all_events_go_to_the_path_with_the_key_over_few_connections(sent: Backend) -> None:
    assert {path for path, _ in sent.requests} == {"/prefix/api/v1/lineage"}
    assert {headers["Authorization"] for _, headers in sent.requests} == {f"Bearer {KEY}"}
    assert len(sent.connections) <= 10 < len(sent.requests)


def test_each_run_starts_once_ends_once_and_has_its_real_times(sent: Backend) -> None:
    by_run: dict[str, list[Event]] = {}
    for event in sent.events:
        by_run.setdefault(event["run"]["runId"], []).append(event)
    for events in by_run.values():
        first, last = events
        assert first["eventType"] == "START"
        assert last["eventType"] in {"COMPLETE", "FAIL"}
        times = [datetime.fromisoformat(event["eventTime"]) for event in events]
        assert times[0] <= times[1]
    ends = {event["job"]["name"]: event["eventType"] for event in sent.events}
    failed = {name for name, kind in ends.items() if kind == "FAIL"}
    assert {name.rpartition("game_analytics.")[2] for name in failed} == {
        *("game_analytics", "rpt_broken.build.run", "rpt_bets.build.test"),
    }
    # A skipped model has no run, and a table that does not exist is no output.
    assert not events_of(sent, "rpt_below.build.run")
    (_, broken) = events_of(sent, "rpt_broken.build.run")
    assert broken["outputs"] == []
    assert "Could not convert" in broken["run"]["facets"]["errorMessage"]["message"]
    # The name of the player is a value of the data.
    assert "ann" not in broken["run"]["facets"]["errorMessage"]["message"]


def test_the_run_of_the_dag_is_the_parent_of_all_others(sent: Backend) -> None:
    first, *rest, last = sent.events
    assert (first["job"]["name"], first["eventTime"]) == ("game_analytics", STARTED[:19] + "+00:00")
    assert last["run"]["runId"] == first["run"]["runId"]
    assert last["eventType"] == "FAIL"
    for event in rest:
        parent = event["run"]["facets"]["parent"]
        assert parent["run"]["runId"] == first["run"]["runId"]
        assert parent["job"]["name"] == "game_analytics"
        assert parent["job"]["namespace"] == event["job"]["namespace"] == "game_analytics"


def test_datasets_have_the_names_of_the_conventions(sent: Backend, package: Package) -> None:
    warehouse = f"duckdb://{package.root / 'warehouse.duckdb'}"
    (_, complete) = events_of(sent, "rpt_bets.build.run")
    assert complete["job"]["name"] == "warehouse.marts.game_analytics.rpt_bets.build.run"
    output = output_of(sent, "rpt_bets.build.run")
    assert (output["namespace"], output["name"]) == (warehouse, "warehouse.marts.rpt_bets")
    bets, events = sorted(complete["inputs"], key=lambda one: str(one["namespace"]), reverse=True)
    assert (bets["namespace"], bets["name"]) == ("file", str(package.root / "lake" / "bets"))
    (table,) = bets["facets"]["symlinks"]["identifiers"]
    assert (table["namespace"], table["name"]) == (warehouse, "warehouse.spectrum.bets")
    assert (events["namespace"], events["name"]) == (warehouse, "warehouse.marts.stg_events")


def test_an_output_has_columns_definition_owner_and_sql(sent: Backend) -> None:
    facets = output_of(sent, "rpt_bets.build.run")["facets"]
    assert facets["documentation"]["description"] == "Bets. One row per bet."
    assert facets["ownership"]["owners"] == [{"name": "team:The small team"}]
    fields = {field["name"]: field for field in facets["schema"]["fields"]}
    assert fields["bet_id"]["description"] == "Id of the bet."
    assert fields["amount"]["type"] == "bigint"
    sql = events_of(sent, "rpt_bets.build.run")[-1]["job"]["facets"]["sql"]
    assert '"spectrum"."bets"' in sql["query"]
    assert sql["dialect"] == "duckdb"


def steps(facet: dict[str, Any], column: str) -> set[tuple[str, str, str, bool]]:
    """Field, type and subtype of all origins of a column, and whether the value is masked."""
    inputs = facet["fields"][column]["inputFields"] if column else facet["dataset"]
    return {
        (field["field"], step["type"], step["subtype"], step["masking"])
        for field in inputs
        for step in field["transformations"]
    }


def test_column_lineage_has_the_kind_of_each_use(sent: Backend) -> None:
    facet = output_of(sent, "rpt_bets.build.run")["facets"]["columnLineage"]
    assert steps(facet, "bet_id") == {("bet_id", "DIRECT", "IDENTITY", False)}
    assert steps(facet, "amount") == {("amount", "DIRECT", "AGGREGATION", False)}
    assert steps(facet, "player_length") == {("player", "DIRECT", "TRANSFORMATION", True)}
    assert steps(facet, "highest") == {
        ("amount", "DIRECT", "AGGREGATION", False),
        ("bet_id", "INDIRECT", "WINDOW", False),
    }
    # A comparison ends the mark of an identifier.
    assert steps(facet, "kind") == {("player", "INDIRECT", "CONDITIONAL", True)}
    assert steps(facet, "device") == {("details", "DIRECT", "TRANSFORMATION", False)}
    (device,) = facet["fields"]["device"]["inputFields"]
    assert device["transformations"][0]["description"].startswith("JSON path device")
    rows = steps(facet, "")
    assert {("bet_id", "INDIRECT", "JOIN", False), ("event_id", "INDIRECT", "JOIN", False)} <= rows
    assert ("event_type", "INDIRECT", "FILTER", False) in rows
    assert ("bet_id", "INDIRECT", "GROUP_BY", False) in rows


def test_lineage_passes_an_ephemeral_model(sent: Backend) -> None:
    (_, complete) = events_of(sent, "fct_bets.build.run")
    assert [one["name"] for one in complete["inputs"]] == ["warehouse.marts.stg_bets"]
    facet = output_of(sent, "fct_bets.build.run")["facets"]["columnLineage"]
    (field,) = facet["fields"]["bet_id"]["inputFields"]
    assert (field["name"], field["field"]) == ("warehouse.marts.stg_bets", "bet_id")


def test_results_of_tests_are_assertions_about_the_dataset(sent: Backend) -> None:
    (_, tested) = events_of(sent, "rpt_bets.build.test")
    (dataset,) = tested["inputs"]
    (assertion,) = dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (assertion["assertion"], assertion["column"]) == ("accepted_values", "amount")
    assert (assertion["success"], assertion["severity"]) == (False, "error")
    assert assertion["actual"] == "1"
    # A test that only warns has found something, and its run has not failed.
    (_, days) = events_of(sent, "dim_days.build.test")
    (warned,) = days["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (warned["success"], warned["severity"], days["eventType"]) == (False, "warn", "COMPLETE")
    (_, across) = events_of(sent, "assert_no_event_is_lost")
    (execution,) = across["run"]["facets"]["test"]["tests"]
    assert (execution["status"], execution["type"]) == ("pass", "custom_sql")
    assert len(across["inputs"]) == 2


def test_a_second_publication_adds_no_runs(sent: Backend, package: Package) -> None:
    with backend() as again:
        package.publish(again.url, **WITHOUT_DBT)
        pairs = [
            {(event["run"]["runId"], event["job"]["name"]) for event in server.events}
            for server in (sent, again)
        ]
        assert pairs[0] == pairs[1]
        assert "Authorization" not in again.requests[0][1]


def test_a_backend_that_never_answers_leaves_the_publication_green(package: Package) -> None:
    with backend(0) as server:
        output = package.publish(server.url, **WITHOUT_DBT)
        # The process has ended although the connection is still open.
        assert server.late_answers == 0
    assert "warning: not all lineage of this run was sent" in output
    assert "it did not answer; 0 events were accepted. The run is published." in output
    published = json.loads(output.splitlines()[-1])
    assert (package.docs / published["folder"] / "catalog.html").is_file()


def test_without_a_url_nothing_is_sent_and_the_client_is_not_imported(package: Package) -> None:
    output = package.publish(PYTHONVERBOSE="1", OPENLINEAGE_API_KEY=KEY, **WITHOUT_DBT)
    assert "import 'include.site.openlineage.publication'" in output
    assert "openlineage.client" not in output
