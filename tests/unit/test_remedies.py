"""Each error message of a warehouse leads to its remedy, and no other message does."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.orchestration.alerts import ExplainedProblem
from include.remedies import REMEDIES, Building, killed, remedy
from tests.support.warehouse_messages import MESSAGES


@pytest.mark.parametrize(("message", "wanted"), MESSAGES)
def test_a_known_error_has_its_remedy(message: str, wanted: str) -> None:
    assert wanted in (remedy(message) or "none")


def test_this_file_has_a_message_for_every_remedy() -> None:
    assert {remedy(message) for message, _ in MESSAGES} == {text for _, text in REMEDIES}


@pytest.mark.parametrize(
    "message",
    [
        "Query (1023) was aborted",
        'column "x" does not exist',
        "division by zero",
        "",
        "10231",
        'column "expired_at" does not exist',
        'relation "communication_costs" does not exist',
        "function typeof(text) does not exist",
    ],
)
def test_an_unknown_error_has_no_remedy(message: str) -> None:
    assert remedy(message) is None


def test_the_remedy_is_shown_below_the_error() -> None:
    problem = ExplainedProblem(
        "model m had an error: Disk Full", remedy="make room", file="dbt/m.sql"
    )
    assert problem.text.splitlines() == [
        "model m had an error: Disk Full",
        "  do:   make room.",
        "  file: dbt/m.sql",
    ]


def test_a_killed_dbt_is_explained_with_the_models_that_it_built() -> None:
    building = Building()
    for line in (
        "10:00:01  1 of 9 START sql view model staging.stg_events ................. [RUN]",
        "10:00:02  1 of 9 OK created sql view model staging.stg_events ............ [OK in 0.4s]",
        "10:00:02  2 of 9 START sql table model marts.fct_a ....................... [RUN]",
        "10:00:02  3 of 9 START sql incremental model intermediate.int_events ..... [RUN]",
        "10:00:03  2 of 9 ERROR creating sql table model marts.fct_a ............. [ERROR in 1s]",
        "10:00:03  Concurrency: 2 threads",
    ):
        building.read(line)
    text = killed("dbt", building.names())
    assert text.startswith("dbt was killed by signal 9 while it built intermediate.int_events. ")
    assert "GAME_ANALYTICS_DUCKDB_MEMORY" in text
    assert "while" not in killed("dbt")
