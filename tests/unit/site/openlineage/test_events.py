"""The events of runs that a killed dbt, a retry and the state machine have left behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from openlineage.client.event_v2 import RunEvent, RunState
from openlineage.client.serde import Serde

from include.settings import Settings
from include.site.assets import read_assets
from include.site.lineage import ColumnLineage
from include.site.openlineage.columns import Columns, aggregates
from include.site.openlineage.events import NodesOfRun, Place, WholeRun
from include.site.openlineage.names import names
from include.site.run_artifacts import Result
from include.site.runs import Run
from tests.support.openlineage_backend import findings
from tests.support.publications import MODELS, PROJECT, TEST, manifest, result

STG, FCT = (f"model.{PROJECT}.{name}" for name in MODELS)
RUN = Run("r", "success", "site/1", "2026-11-30T04:30:00+00:00", "2026-11-30T04:40:00+00:00", 600)


def events_of(*results: Result, run: Run = RUN, namespace: str = "n") -> list[list[RunEvent]]:
    content: dict[str, Any] = manifest()
    for name, node in content["nodes"].items():
        node |= {"schema": "marts", "alias": name.split(".")[2], "columns": {}}
    place = Place(namespace, "game_analytics", is_dag=True)
    whole = WholeRun(place, run)
    found = names(Settings(duckdb="/w.duckdb", lake="/lake"), {})
    nodes = NodesOfRun(
        whole, place, found, content, results, read_assets(content), run, dialect="duckdb"
    )
    columns = Columns(ColumnLineage({}, (), ()), nodes.name_of, (), (), "duckdb")
    return list(nodes.events(columns))


def test_a_node_of_a_killed_dbt_has_seconds_from_the_start_of_the_run() -> None:
    killed = {**result(STG), "timing": None, "execution_time": 90.5}
    ((start, end),) = events_of(killed)
    assert (start.eventTime, end.eventTime) == (
        "2026-11-30T04:30:00+00:00",
        "2026-11-30T04:31:30.500000+00:00",
    )


@pytest.mark.parametrize("status", ["skipped", "unknown"])
def test_what_was_not_run_has_no_event(status: str) -> None:
    assert events_of(result(STG, status), result(TEST, status)) == []
    assert events_of() == []


def test_a_retried_node_is_a_new_run_and_a_second_publication_is_not() -> None:
    def run_id(*results: Result, **given: Any) -> str:
        (events,) = events_of(*results, **given)
        assert len({event.run.runId for event in events}) == 1
        return events[0].run.runId

    timing = [{"started_at": "2026-11-30T05:00:00Z", "completed_at": RUN.published_at}]
    first = run_id(result(STG))
    assert run_id(result(STG), run=replace(RUN, published_at="2026-12-01T00:00:00+00:00")) == first
    assert run_id(result(STG, timing=timing)) != first
    assert run_id(result(FCT)) != first
    assert run_id(result(STG), run=replace(RUN, run_id="other")) != first
    assert run_id(result(STG), namespace="other") != first


def test_a_test_that_could_not_be_run_says_nothing_about_the_data() -> None:
    ((_, end),) = events_of(result(TEST, "error", message="no such column"))
    assert end.eventType is RunState.FAIL
    assert end.run.facets is not None
    assert "errorMessage" in end.run.facets
    (dataset,) = Serde.to_dict(end)["inputs"]
    assert dataset["inputFacets"]["dataQualityAssertions"]["assertions"] == []


def test_hostile_texts_stay_texts() -> None:
    hostile = "</script>\"'\\ \n\x00 …" + "x" * 5000
    for events in events_of(result(STG, "error", message=hostile, compiled_code=hostile)):
        for event in events:
            assert findings(Serde.to_dict(event)) == []
    run = replace(RUN, run_id=hostile, outcome="failed", message=hostile)
    end = Serde.to_dict(WholeRun(Place("n", "j", is_dag=False), run).end())
    assert findings(end) == []
    assert end["run"]["facets"]["errorMessage"]["message"] == hostile


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("sum(a)", True),
        ("cast(max(a) as date)", True),
        ("arg_max(a, b)", True),
        ("sum(a) over (partition by b)", False),
        ("max(sum(a)) over (partition by b)", True),
        ("row_number() over (order by a)", False),
        ("coalesce(a, b)", False),
        # A step that is cut off cannot be parsed.
        ("sum(case when a = 'x' then …", True),
        ("coalesce(case when a = 'x' then …", False),
    ],
)
def test_an_aggregate_makes_one_value_of_many_rows(expression: str, expected: bool) -> None:
    assert aggregates(expression, "duckdb") is expected
