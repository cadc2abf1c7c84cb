#!/usr/bin/env bash
# apache-airflow-core 3.3.1: each task that starts in the triggerer deserializes the whole DAG, and keeps it in memory.
#
# Expected: a trigger that a task starts without a worker (start_from_trigger) needs its own task. The triggerer should
# read the DAG once for all tasks of a run that wait, or read the one task.
# What happens: for each trigger, the process of the triggers receives all of the serialized DAG, and makes a DAG of its
# own from it. The DAG stays attached to the trigger's task instance as long as the task waits.
# Why it matters: the processor time of a run grows with the square of its tasks, in the event loop that all triggers
# share. With hundreds of waiting tasks the memory grows by hundreds of megabytes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    apache-airflow-core==3.3.1 apache-airflow-providers-standard==1.17.0

export AIRFLOW_HOME="$folder/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR

cat >count.py <<'PYTHON'
import sys
from datetime import UTC, datetime
from uuid import UUID

from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.sdk import DAG, BaseOperator
from airflow.serialization.serialized_objects import DagSerialization

WAITING = 20


def waiting(tasks):
    """The DAGs of `WAITING` tasks of a DAG with so many tasks, as the triggerer makes them."""
    with DAG("shop") as dag:
        for number in range(tasks):
            BaseOperator(task_id=f"task_{number}")
    encoded = DagSerialization.to_dict(dag)
    now = datetime.now(UTC)
    run = {
        **{"dag_id": "shop", "run_id": "r", "run_type": "manual", "state": "running", "run_after": now},
        **{"start_date": now, "end_date": None, "logical_date": None, "conf": None, "partition_key": None},
        **{"data_interval_start": None, "data_interval_end": None, "consumed_asset_events": []},
    }
    return [
        TriggerRunner.create_runtime_ti(
            TaskInstanceDTO(
                **{"id": UUID(int=number), "dag_version_id": UUID(int=1), "dag_id": "shop", "run_id": "r"},
                **{"task_id": f"task_{number}", "try_number": 1, "pool_slots": 1, "queue": "q", "priority_weight": 1},
            ),
            encoded,
            run,
        ).task.dag
        for number in range(WAITING)
    ]


found = {tasks: waiting(tasks) for tasks in (20, 200)}
for tasks, dags in found.items():
    objects = sum(len(dag.task_dict) for dag in {id(dag): dag for dag in dags}.values())
    print(f"DAG of {tasks} tasks, {WAITING} of them wait: {len({*map(id, dags)})} DAGs with {objects} tasks in memory")
    # Output seen: DAG of 20 tasks: 20 DAGs with 400 tasks; DAG of 200 tasks: 20 DAGs with 4000 tasks.
    if objects != WAITING * tasks:
        sys.exit("The behaviour has changed: the waiting tasks share a DAG, or have only their own task.")
PYTHON
venv/bin/python count.py
