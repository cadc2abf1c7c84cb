"""Prevents a deploy that removes a waiting task from stopping the triggerer, and so all DAGs.

In Airflow 3.3.0 and 3.3.1 the triggerer looks up the task of each trigger that it loads. If the
task does not exist, the exception `TaskNotFound` ends the triggerer, again at every start. This
happens if a deploy removes or renames a task while the task waits and no triggerer runs, or before
a triggerer has loaded its trigger. Restoring the task does not help, because the row of the task
instance still refers to the DAG version without it.

When a triggerer starts, the guard repairs the rows that would end it, and no other rows. It does so
for all DAGs, because each such row would also stop this one. If the newest DAG version that the run
has reached contains the task again, the row gets that version and continues to wait. Otherwise the
row loses its trigger. If it was still waiting, its state becomes `removed`, as the scheduler does
with a task that it does not find: the task is never green, and the run can still end.

A triggerer that has ended must still be restarted by its supervisor; with the guard, one restart is
enough. According to its release notes, Airflow 3.3.2 tolerates a missing task (not tried here).
Delete this file then.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Container
    from uuid import UUID

log = logging.getLogger(__name__)


def release_lost_tasks() -> None:
    """Repair each task instance that has a trigger and whose task its DAG version lacks."""
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbag import DBDagBag
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from airflow.utils.state import State, TaskInstanceState
    from sqlalchemy import select, update

    ti, bag = TaskInstance, DBDagBag()
    read: dict[UUID, Container[str] | None] = {}
    with create_session() as session:

        def tasks(version: UUID) -> Container[str] | None:
            """The version's task ids; None if it has no serialized DAG, which is harmless."""
            if version not in read:
                model = bag.get_serialized_dag_model(version, session=session)
                read[version] = model.dag.task_dict if model else None
            return read[version]

        columns = (ti.id, ti.dag_id, ti.run_id, ti.task_id, ti.state, ti.dag_version_id)
        looked_up = ti.trigger_id.is_not(None), ti.dag_version_id.is_not(None)
        for row in session.execute(select(*columns, ti.trigger_id).where(*looked_up)).all():
            known = tasks(row.dag_version_id)
            if known is None or row.task_id in known:
                continue
            # Not the DAG's newest version: once a row of a run has that version, the scheduler no
            # longer checks the run.
            reached = session.scalars(
                select(DagVersion.id)
                .join(ti, ti.dag_version_id == DagVersion.id)
                .where(ti.dag_id == row.dag_id, ti.run_id == row.run_id)
                .order_by(DagVersion.version_number.desc())
                .limit(1)
            ).one()
            is_back = row.state in State.unfinished and row.task_id in (tasks(reached) or ())
            waits = row.state == TaskInstanceState.DEFERRED
            values: dict[str, Any] = {"dag_version_id": reached} if is_back else {}
            if not (waits and is_back):
                values["trigger_id"] = None
            if waits and not is_back:
                values["state"] = TaskInstanceState.REMOVED
            # The scheduler runs at the same time: update the row only if it has not changed since
            # it was read, and commit at once so that only one row is locked.
            as_read = [getattr(ti, name) == value for name, value in row._mapping.items()]
            session.execute(update(ti).where(*as_read).values(**values))
            session.commit()
            log.warning(
                "A deploy removed or renamed task %s of DAG %s while it waited in run %s. %s",
                *(row.task_id, row.dag_id, row.run_id),
                "It exists again and continues."
                if is_back
                else "Start a new run to get its result.",
            )
        Trigger.clean_unused(session=session)


class TriggererGuard:
    """The listener for the start of Airflow's components."""

    @hookimpl
    def on_starting(self, component: object) -> None:  # noqa: ARG002
        """Repair the rows before the triggerer loads its first trigger.

        The job of the component has no type yet, so an imported module shows which one starts.
        """
        runner = sys.modules.get("airflow.jobs.triggerer_job_runner")
        supervisor = getattr(runner, "TriggerRunnerSupervisor", None)
        # Airflow 3.2 has no such method: its triggerer does not look up tasks.
        if not hasattr(supervisor, "build_trigger_workloads"):
            return
        try:
            release_lost_tasks()
        except Exception:
            log.exception("The guard failed; the triggerer starts without it")


class TriggererGuardPlugin(AirflowPlugin):
    """Registers the listener in every component; it acts only in the triggerer."""

    name = "game_analytics_triggerer_guard"
    listeners = [TriggererGuard()]  # noqa: RUF012
