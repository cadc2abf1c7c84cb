"""Each error message of a warehouse leads to its remedy, and no other message does."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.orchestration.alerts import ExplainedProblem
from include.remedies import REMEDIES, Building, killed, remedy

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
    (
        "Runtime Error in model int_events (int_events.sql)\n  Out of Memory Error: failed to "
        "allocate data of size 32.0 MiB (950.1 MiB/953.6 MiB used)",
        "raise GAME_ANALYTICS_DUCKDB_MEMORY",
    ),
    (
        "Out of Memory Error: failed to offload data block of size 160.0 KiB (9.4 MiB/9.5 MiB "
        "used).\nThis limit was set by the 'max_temp_directory_size' setting.",
        "file on another disk",
    ),
    (
        'IO Error: Could not write file "w.duckdb.tmp/a": No space left on device',
        "file on another disk",
    ),
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
