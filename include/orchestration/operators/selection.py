"""What a run builds, by its form and by the results of its preflight and freshness tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.messages import SelectedNodes, StaleSources, from_plain
from include.run_form import RunForm, skip_reason
from include.settings import UserError

PREFLIGHT = "preflight"
"""The id of the task whose result is a `SelectedNodes`."""
FRESHNESS = "freshness"
"""The id of the task whose result is a `StaleSources`."""

Result = TypeVar("Result", SelectedNodes, StaleSources)


def form_of(context: Any) -> RunForm:
    """Return the run's form; raises AirflowFailException if its fields contradict each other."""
    try:
        return RunForm.from_params(context["params"])
    except UserError as error:
        raise AirflowFailException(str(error)) from None


def is_dry_run(context: Any) -> bool:
    """Return whether the run is a dry run; only preflight validates the rest of its form."""
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
    """Return by name why this run does not build or test something, None if it does.

    `sources` maps each name to the sources that it needs, `nodes` to the nodes that it builds or
    tests.
    """
    selected, stale = selected_nodes(context), stale_sources(context)
    return {
        name: skip_reason(nodes[name], needed, selected=selected, stale=stale)
        for name, needed in sources.items()
    }


def selected_nodes(context: Any) -> frozenset[str] | None:
    """Return the ids of the nodes that preflight found to be selected; None if all are."""
    selected = result_of(context, PREFLIGHT, SelectedNodes).selected
    return None if selected is None else frozenset(selected)


def stale_sources(context: Any) -> frozenset[str]:
    """Return the ids of the sources that the freshness task found to be stale."""
    return frozenset(result_of(context, FRESHNESS, StaleSources).stale)


def states_of(context: Any) -> dict[str, str | None]:
    """Return the states of all tasks of this run by task id."""
    ti = context["ti"]
    states: dict[str, str | None] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(
        ti.run_id, {}
    )
    return states


def is_replaced(
    states: Mapping[str, str | None], producer: str | None, nodes: Iterable[str]
) -> bool:
    """Return whether the task `producer` failed and the nodes' own tasks built what it did not.

    `nodes` has the task ids of the nodes. A skipped node is one that the run does not build.
    """
    is_failed = producer is not None and states.get(producer) == "failed"
    return is_failed and all(states.get(node) in {"success", "skipped"} for node in nodes)


def result_of(context: Any, task_id: str, kind: type[Result]) -> Result:
    """Return the result of a task of this run; raises AirflowFailException if it has none."""
    try:
        return from_plain(context["ti"].xcom_pull(task_ids=task_id), kind)
    except ValueError:
        message = f"The run has no result of {task_id}: clear that task with its downstream."
        raise AirflowFailException(message) from None
