"""Keeps a deploy that removes a waiting task from stopping the triggerer, and with it every DAG.

Before Airflow 3.3.2 the triggerer looks up the task of each trigger that is new to it and does not
expect that it is gone: `TaskNotFound` ends the triggerer, again at every start. A task is gone when
a deploy removed or renamed it while it waited and no triggerer ran, or before its trigger was
picked up. Restoring it does not help: its row keeps pointing to the DAG version without it.

When a triggerer starts, the guard mends the rows that would end it and no others, of every DAG,
since any of them stops ours. Where the task is back in the newest version that its run has reached,
the row moves to that version and goes on waiting. Elsewhere the row loses its trigger and, if it
still waited, becomes `removed`, as the scheduler marks a task it misses: never green, and no
hindrance to the run.

A triggerer that dies must be started again from outside, as ever; the guard makes one start enough.
Airflow 3.3.2 survives the missing task by itself (its release notes; not tried): then delete this.
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
    """Mend every task instance that has a trigger and whose task its DAG version lacks."""
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
            """Return the version's task ids; `None` without a serialized DAG, which is harmless."""
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
            # Not the DAG's newest: the scheduler does not check a run that has a row of that one.
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
            # The scheduler runs meanwhile: only a row still as it was read, and one lock at a time.
            as_read = [getattr(ti, name) == value for name, value in row._mapping.items()]
            session.execute(update(ti).where(*as_read).values(**values))
            session.commit()
            log.warning(
                "A deploy removed or renamed task %s of DAG %s while run %s waited for it. %s",
                *(row.task_id, row.dag_id, row.run_id),
                "It is back and goes on." if is_back else "If its result matters, start a new run.",
            )
        Trigger.clean_unused(session=session)


class TriggererGuard:
    """The listener."""

    @hookimpl
    def on_starting(self, component: object) -> None:  # noqa: ARG002
        """Act before the first trigger is loaded; the component is a job that has no type yet."""
        if "airflow.jobs.triggerer_job_runner" not in sys.modules:
            return
        try:
            release_lost_tasks()
        except Exception:
            log.exception("The guard failed, the triggerer starts as it would without it")


class TriggererGuardPlugin(AirflowPlugin):
    """Registers the listener in every component; it acts in the triggerer alone."""

    name = "game_analytics_triggerer_guard"
    listeners = [TriggererGuard()]  # noqa: RUF012
