"""Each error message of a warehouse leads to its remedy, and no other message does."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.orchestration.alerts import ExplainedProblem
from include.remedies import REMEDIES, remedy

# The messages as dbt or the driver passes them on: only the first line of the server's message.
MESSAGES = (
    ("Database Error in model m (m.sql)\n  1023\n  compiled code at m.sql", "another transaction"),
    ("ERROR: 1023 DETAIL: Serializable isolation violation on table - 1", "another transaction"),
    ("Query (10234) cancelled on user's request", "raise the timeout"),
    ("Database Error in model m\n  Disk Full", "resize it"),
    ("permission denied for schema marts", "bootstrap.sql"),
    ("File 's3://b/k' has an incompatible Parquet schema for column 'c'", "make compact"),
    (
        "S3ServiceException: The specified key does not exist., Status 404",
        "deleted while it was read",
    ),
    ("Database Error in model m\n  Spectrum Scan Error", "svl_s3log"),
    ("S3ServiceException: Access Denied, Status 403", "policies/spectrum_role.json"),
    ('password authentication failed for user "dbt"', "correct the secret"),
    ("The security token included in the request is expired", "correct the secret"),
    ("BrokenPipe: server socket closed. Please check that", "security group"),
    ("('communication error', TimeoutError('timed out'))", "security group"),
    ('schema "operations" does not exist', "administrator"),
)


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
