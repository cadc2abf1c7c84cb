"""Raw player events and betting ledgers to tested marts: one Airflow task per dbt node.

**When.** By the setting SCHEDULE (UTC). What arrived since the last good run decides what is
built, never the clock: a missed or failed run loses nothing, the next one takes its days along.

**When a task is red**, its log ends with the error, the file to mend and the compiled SQL. Mend
it, then clear that task with its downstream (a laptop: `make up`, `make retry TASK=rpt_ltv`).

| task | red means | do |
|---|---|---|
| `preflight` | dbt, manifest, lake or warehouse is not as it must be | what the error says |
| `partitions`, `freshness` | the lake cannot be read | mend the file that the error names |
| a node | error: retried twice before it is red; failed test: never retried | call its owner |
| `cross_model_tests` | marts disagree with each other | run the SQL that the error names |
| `record_partitions`, `kpi_summary` | the marts are good; days may be built again | clear it |

A node is skipped, with all after it, if a source that it needs is stale; then `done` is red.
"""

import os
from functools import partial

from airflow.sdk import DAG

from include import alerts, transform
from include.manifest import Manifest
from include.settings import Settings

settings = Settings.from_env(os.environ)
manifest = Manifest.read()
run = ["--run-id", "{{ run_id }}"]
step = partial(transform.DbtEnvironmentOperator, settings=settings)

with DAG(
    dag_id="game_analytics",
    schedule=None if settings.schedule == "none" else settings.schedule,
    catchup=False,
    max_active_runs=1,
    max_active_tasks=transform.MAX_ACTIVE_TASKS[settings.target],
    doc_md=__doc__,
    default_args={
        "retries": 2,
        "retry_exponential_backoff": 2,
        "on_failure_callback": alerts.report_failure,
    },
):
    preflight = step(task_id="preflight", command=["include.preflight"], retries=0)
    partitions = step(task_id="partitions", command=["include.lake", "partitions", *run])
    freshness = step(task_id=transform.FRESHNESS, command=["include.lake", "freshness"])
    nodes = transform.dbt_nodes(settings, manifest)
    tests = transform.cross_model_tests(settings, manifest)
    record = step(task_id="record_partitions", command=["include.lake", "record", *run])
    kpis = step(task_id="kpi_summary", command=["include.kpis"], trigger_rule="all_done")
    done = transform.DoneOperator(task_id="done", manifest=manifest)

    preflight >> partitions >> freshness >> nodes >> tests
    # The nodes again: the tests run without skipped ones, the days of which stay unrecorded.
    [nodes, tests] >> record
    [nodes, tests, record] >> kpis
    [nodes, tests, record, kpis] >> done
