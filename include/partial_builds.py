"""Refuses the options and variables of dbt with which a build would make incomplete tables.

dbt reads most of its options from variables as well, so each way to build checks its variables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from include.settings import UserError

OPTIONS = ("--empty", "--sample", "--event-time-start", "--event-time-end")
"""The options with which dbt reads none or only some of the rows of a model's inputs. A snapshot
would end the history of all rows that it does not read, and no later build restores it."""
VARIABLES = (
    "DBT_EMPTY",
    "DBT_SAMPLE",
    "DBT_EVENT_TIME_START",
    "DBT_EVENT_TIME_END",
    # The node of a task that builds it alone would read the tables of another warehouse.
    "DBT_DEFER",
    "DBT_DEFER_TO_STATE",
    "DBT_FAVOR_STATE",
    "DBT_FAVOR_STATE_MODE",
    # A node would end as built although its tests have not run, or would not be built.
    "DBT_RESOURCE_TYPES",
    "DBT_EXCLUDE_RESOURCE_TYPES",
    "DBT_INDIRECT_SELECTION",
)
"""The variables that have such an effect on every build. dbt reads each of them by a second name
too (`engine_name`), and prefers that one."""
OFF = frozenset({"", "0", "false", "f", "no", "n", "off"})
"""The values with which dbt reads a variable as not set."""
ARGUMENTS = ("empty", "sample", "event_time_start", "event_time_end", "defer", "favor_state")
"""The names in dbt's `run_results.json` of the options whose builds are not recorded."""


def refuse_options(words: Sequence[str]) -> None:
    """Raise UserError if a command line of dbt has an option that leaves rows out."""
    for word in words:
        if (option := word.partition("=")[0]) in OPTIONS:
            raise UserError(
                f"{option} reads none or only some of the rows, which would end histories in the "
                "snapshots and leave the marts incomplete: build without it. To check the SQL "
                "without any row, run `.venv/dbt/bin/dbt compile --project-dir dbt --profiles-dir "
                "dbt`, or a dry run of the DAG."
            )


def refuse_variables(environ: Mapping[str, str]) -> None:
    """Raise UserError if a variable would make dbt leave out rows, nodes or tests."""
    for variable in (name for each in VARIABLES for name in (each, engine_name(each))):
        if environ.get(variable, "").strip().lower() not in OFF:
            raise UserError(
                f"the variable {variable} is set, with which dbt leaves out rows, nodes or tests "
                "of every build: unset it."
            )


def engine_name(variable: str) -> str:
    """The second name of a variable of dbt, such as `DBT_ENGINE_EMPTY` of `DBT_EMPTY`."""
    return variable.replace("DBT_", "DBT_ENGINE_", 1)
