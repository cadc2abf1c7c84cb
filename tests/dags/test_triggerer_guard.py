"""The triggerer's guard, with rows of a real metadata database that end an unguarded triggerer.

A second process uses the database: it runs this file as a script, with its own Airflow home.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import game_analytics_triggerer_guard as guard

ROOT = Path(__file__).parents[2]
# For each task of a DAG, the versions of the DAG that contain it; two deploys made three versions.
VERSIONS = {
    "waits": {1, 2, 3},
    "removed": {1, 2},
    "renamed": {1, 2},
    "restored": {1, 3},
    "cleared": {1, 3},
    "unserialized": set(),
}
# The row of each task when the triggerer starts: its state and its DAG version.
ROWS: dict[str, tuple[str | None, int]] = {
    "waits": ("deferred", 3),
    "removed": ("removed", 3),
    "renamed": ("deferred", 3),
    "restored": ("deferred", 2),
    "cleared": (None, 2),
    "unserialized": ("deferred", 4),
}
LOST = ["cleared", "removed", "renamed", "restored"]


def write_rows() -> None:
    """Write the DAG versions, two runs and a row for each task, with a trigger."""
    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType

    def dag(version: int) -> LazyDeserializedDAG:
        with DAG("deployed", schedule=None) as dag:
            for task in (task for task in VERSIONS if version in {0, *VERSIONS[task]}):
                EmptyOperator(task_id=task)
        return LazyDeserializedDAG.from_dag(dag)

    with create_session() as session:
        session.add(DagBundleModel(name="bundle"))
        session.flush()
        session.add(DagModel(dag_id="deployed", bundle_name="bundle"))  # type: ignore[no-untyped-call]
        for run in ("run", "another"):
            session.add(
                DagRun("deployed", run, run_type=DagRunType.MANUAL, state=DagRunState.RUNNING)
            )
        versions = {}
        for number in (1, 2, 3, 4):
            versions[number] = DagVersion.write_dag(
                dag_id="deployed", bundle_name="bundle", session=session
            )
            session.flush()
            if number < 4:
                serialized = SerializedDagModel(dag(number))
                serialized.dag_version = versions[number]
                session.add(serialized)
        session.flush()
        every = SerializedDagModel(dag(0)).dag
        for task, (state, version) in ROWS.items():
            trigger = Trigger(classpath="any.Trigger", kwargs={})
            session.add(trigger)
            session.flush()
            run = "run" if version < 4 else "another"
            ti = TaskInstance(every.get_task(task), versions[version].id, run, state)
            ti.trigger_id = trigger.id
            session.add(ti)


def read_rows() -> dict[str, Any]:
    """Return the rows, the number of triggers, and the tasks that would end the triggerer."""
    from airflow.exceptions import TaskNotFound
    from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor
    from airflow.models.dag_version import DagVersion
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    supervisor: Any = object.__new__(TriggerRunnerSupervisor)
    supervisor.job, supervisor.logger_cache = SimpleNamespace(id=1), {}
    rows, fatal = {}, []
    with create_session() as session:
        of_version = TaskInstance.dag_version_id == DagVersion.id
        columns = (TaskInstance.task_id, TaskInstance.state, TaskInstance.trigger_id)
        read = select(*columns, DagVersion.version_number).join(DagVersion, of_version)
        for task, state, trigger, version in session.execute(read).all():
            rows[task] = [state, version, trigger is not None]
            try:
                supervisor.build_trigger_workloads({trigger} - {None})
            except TaskNotFound:
                fatal.append(task)
        triggers = session.scalar(select(func.count(Trigger.id)))
    return {"rows": rows, "triggers": triggers, "fatal": sorted(fatal)}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The rows as the second process read them after two starts: another component, triggerer."""
    home = tmp_path_factory.mktemp("guarded")
    environ = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PYTHONPATH": str(ROOT),
    }
    for command in (["-m", "airflow", "db", "migrate"], [__file__, str(home / "seen.json")]):
        subprocess.run([sys.executable, *command], env=environ, check=True, timeout=120)
    read: dict[str, Any] = json.loads((home / "seen.json").read_text())
    return read


def test_a_deploy_ends_an_unguarded_triggerer(seen: dict[str, Any]) -> None:
    """This fails as soon as Airflow has fixed the bug. Then the guard can be deleted."""
    assert seen["another"]["fatal"] == LOST


def test_another_component_changes_nothing(seen: dict[str, Any]) -> None:
    assert seen["another"]["rows"] == {task: [*row, True] for task, row in ROWS.items()}


def test_after_the_guard_no_row_ends_the_triggerer(seen: dict[str, Any]) -> None:
    assert seen["triggerer"]["fatal"] == []


def test_the_guard_changes_only_rows_whose_task_is_missing(seen: dict[str, Any]) -> None:
    assert seen["triggerer"]["rows"] == {
        "waits": ["deferred", 3, True],
        "removed": ["removed", 3, False],
        "renamed": ["removed", 3, False],
        "restored": ["deferred", 3, True],
        "cleared": [None, 3, False],
        "unserialized": ["deferred", 4, True],
    }
    assert seen["triggerer"]["triggers"] == 3


def test_an_error_of_the_guard_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> NoReturn:
        raise RuntimeError("no database")

    monkeypatch.setattr(guard, "release_lost_tasks", fail)
    for supervisor in (SimpleNamespace(), SimpleNamespace(build_trigger_workloads=fail)):
        # A triggerer that does not look up tasks needs no guard, so nothing is done for the first.
        assert caplog.text == ""
        runner = SimpleNamespace(TriggerRunnerSupervisor=supervisor)
        monkeypatch.setitem(sys.modules, "airflow.jobs.triggerer_job_runner", runner)
        guard.TriggererGuard().on_starting(component=object())
    assert "The guard failed" in caplog.text


if __name__ == "__main__":
    from airflow.jobs.job import Job

    write_rows()
    seen_at = {}
    # Each component starts with a job. Reading the rows imports the triggerer's module, so for the
    # guard the second start is the start of a triggerer.
    for start in ("another", "triggerer"):
        Job()  # type: ignore[no-untyped-call]
        seen_at[start] = read_rows()
    Path(sys.argv[1]).write_text(json.dumps(seen_at))
