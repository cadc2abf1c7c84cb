"""What a run builds, as its form, its preflight and its freshness task have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.run_form import RunForm, skip_reason
from include.settings import UserError

PREFLIGHT = "preflight"
"""The task whose XCom holds `{"selected": [node ids], or null for all}`."""
FRESHNESS = "freshness"
"""The task whose XCom holds `{"stale": [source ids]}`."""


def form_of(context: Any) -> RunForm:
    """The run's form; raises AirflowFailException for one that cannot be meant."""
    try:
        return RunForm.from_params(context["params"])
    except UserError as error:
        raise AirflowFailException(str(error)) from None


def is_dry_run(context: Any) -> bool:
    """Whether nothing may be written; the rest of the form is preflight's to judge."""
    return bool(context["params"].get("dry_run"))


def skip_dry_run(context: Any) -> None:
    """Raise AirflowSkipException in a dry run."""
    if is_dry_run(context):
        raise AirflowSkipException("Skipped: dry run.")


def skip_reasons(
    context: Any,
    sources: Mapping[str, frozenset[str]],
    nodes: Mapping[str, frozenset[str]],
) -> dict[str, str | None]:
    """Why this run does not build or test something, by its name; None if it does.

    `sources` are those that it needs, `nodes` those that it builds or tests.
    """
    selected, stale = selected_nodes(context), stale_sources(context)
    return {
        name: skip_reason(nodes[name], needed, selected=selected, stale=stale)
        for name, needed in sources.items()
    }


def selected_nodes(context: Any) -> frozenset[str] | None:
    """The ids of the selected nodes, as the run's preflight found them; None for all."""
    selected = result_of(context, PREFLIGHT, "selected")
    return None if selected is None else frozenset(selected)


def stale_sources(context: Any) -> frozenset[str]:
    """The ids of the stale sources, as the run's freshness task found them."""
    return frozenset(result_of(context, FRESHNESS, "stale"))


def result_of(context: Any, task_id: str, key: str) -> Any:
    """A part of what a task of the run has found; AirflowFailException if that is not known."""
    result = context["ti"].xcom_pull(task_ids=task_id)
    if not isinstance(result, Mapping) or key not in result:
        message = f"The run has no result of {task_id}: clear that task with its downstream."
        raise AirflowFailException(message)
    return result[key]
