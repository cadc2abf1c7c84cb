"""Runs the whole build as one execution of the state machine, and waits until it ends.

**When.** Only when someone triggers it. For a schedule, set the parameter `Schedule` of
`include/aws/build.yaml`: then EventBridge starts the state machine without Airflow. The state
machine and the DAG `game_analytics` use the same build lock, so only one of them builds at a time.

**When `state_machine` is red**, the state machine has already retried what a retry can repair, and
has sent the alert with the failing models. The task's link leads to the execution. Repair the
models, then clear the task. Clearing starts a new execution, also when the task was green; if an
execution is still running, the task follows that one instead. Marking the task failed does not stop
the execution: stop it in Step Functions, which also frees the build lock.
"""

import os

from airflow.sdk import DAG

from include.orchestration import alerts
from include.orchestration.step_functions import BuildExecutionOperator
from include.settings import Settings

settings = Settings.from_env(os.environ)

with DAG(
    dag_id="game_analytics_step_functions",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["analytics", "dbt", "redshift", "step-functions"],
    default_args={
        "retries": 2,
        "retry_exponential_backoff": 2,
        "on_failure_callback": alerts.on_failure(settings),
    },
):
    BuildExecutionOperator(task_id="state_machine", settings=settings)
