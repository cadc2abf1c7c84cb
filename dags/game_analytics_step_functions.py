"""The whole build as one execution of the state machine: Airflow starts it and waits for its end.

**When.** Never by itself: trigger it, or schedule it by EventBridge (parameter `Schedule` of
`include/aws/build.yaml`). It and the DAG `game_analytics` share one lock, so that never two build.

**When `state_machine` is red**, the state machine has sent the alert with the failing models, and
has retried what a retry can mend. Its link leads to the execution. Mend the models, then clear the
task: it starts a new execution, also when it was green. Cleared while one runs, it follows that
one. Marking it failed does not stop the execution: stop that in Step Functions, which gives the
lock back.
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
    default_args={
        "retries": 2,
        "retry_exponential_backoff": 2,
        "on_failure_callback": alerts.on_failure(settings),
    },
):
    BuildExecutionOperator(task_id="state_machine", settings=settings)
