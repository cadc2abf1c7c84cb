"""Each error message of a warehouse leads to its remedy, and no other message does."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.orchestration.alerts import ExplainedProblem
from include.remedies import REMEDIES, remedy
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
