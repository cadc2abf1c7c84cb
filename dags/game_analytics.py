"""Builds tested marts from raw player events and betting ledgers: one Airflow task per dbt node.

**When.** By the setting SCHEDULE (UTC). A run builds the days whose files changed since the last
successful run. After a missed or failed run, the next run also builds the days of that run.

**When a task is red**, its log ends with the error, the file to repair and the compiled SQL. Repair
it, then clear that task with its downstream (on a laptop: `make up`, `make retry TASK=rpt_ltv`).

| task | why it is red | what to do |
|---|---|---|
| `preflight` | dbt, manifest, lake or warehouse cannot be used | what the error names |
| `partitions`, `freshness` | a file is faulty, rows were lost, another run builds | what it names |
| `dbt_build` | 3 tries failed; each node then runs dbt itself (not on Fargate) | what it names |
| a node | an error (3 tries) or a failed test (1 try) | inform its owner |
| `cross_model_tests` | marts contradict each other | run the SQL that the error names |
| `record_partitions`, `kpi_summary`, `publish`, `unlock` | a step after the marts | clear it |

A stale source skips the nodes that need it and all nodes after them; then `done` is red.

**Manual run** (Trigger, or REST with `conf`): `select`, `exclude`, `from`, `to`, `full_refresh`,
`allow_lost_rows` (after a loss that is meant), `dry_run` (`preflight` lists, the rest is skipped).
Nodes that are not selected are skipped, `done` is green, and the next run builds the days again.
"""

import os
from functools import partial

from airflow.sdk import DAG

from include.manifest import Manifest, without_collector
from include.orchestration import alerts, operators, transform
from include.run_form import RunForm
from include.settings import Settings

settings = Settings.from_env(os.environ)
manifest = Manifest.read()
run = ["--run-id", "{{ run_id }}"]
step = partial(operators.DbtEnvironmentOperator, settings=settings)

with (
    without_collector(),
    DAG(
        dag_id="game_analytics",
        schedule=None if settings.schedule == "none" else settings.schedule,
        catchup=False,
        max_active_runs=1,
        max_active_tasks=transform.MAX_ACTIVE_TASKS[settings.target],
        doc_md=__doc__,
        tags=["analytics", "dbt", settings.adapter],
        deadline=alerts.deadline(settings),
        default_args={
            "retries": 2,
            "retry_exponential_backoff": 2,
            "on_failure_callback": alerts.on_failure(settings),
        },
    ) as dag,
):
    preflight = operators.PreflightOperator(task_id=operators.PREFLIGHT, settings=settings)
    partitions = step(
        task_id="partitions", command=["include.lake", "partitions", *run], form=RunForm.days
    )
    freshness = transform.freshness(settings, command=["include.lake", "freshness", *run])
    nodes = transform.dbt_nodes(settings, manifest)
    tests = transform.cross_model_tests(settings, manifest)
    record = operators.RecordOperator(
        task_id="record_partitions",
        settings=settings,
        nodes=map(manifest.task_id, manifest.built),
        command=["include.lake", "record", *run],
        form=RunForm.refresh,
    )
    kpis = step(task_id="kpi_summary", command=["include.build.kpis"], trigger_rule="all_done")
    publish = operators.PublishOperator(task_id="publish", settings=settings, manifest=manifest)
    done = operators.DoneOperator(
        task_id="done",
        manifest=manifest,
        producer=transform.producer(settings),
        assets=transform.marts(manifest),
    )

    preflight >> partitions >> freshness >> nodes >> tests
    if build := transform.dbt_build(settings, manifest):
        # Not upstream of the nodes: they wait for it while it runs, and its failure is not theirs.
        freshness >> build >> kpis
    if settings.target == "redshift":
        free = ["include.warehouse.build_lock", "free", *run]
        publish >> step(task_id="unlock", command=free, trigger_rule="all_done") >> done
    # The nodes too: the tests run even if nodes were skipped, and then no day may be recorded.
    for last in (record, kpis):
        [nodes, tests] >> last >> publish
    [nodes, tests, record, kpis, publish] >> done

    # Last: Airflow copies the form into each task that is created later (0.5 s per 1,000 tasks).
    dag.params.update(transform.params())
