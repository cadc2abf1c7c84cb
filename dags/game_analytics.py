"""Raw player events and betting ledgers to tested marts: one Airflow task per dbt node.

**When.** By the setting SCHEDULE (UTC). What arrived since the last good run decides what is
built, never the clock: a missed or failed run loses nothing, the next one takes its days along.

**When a task is red**, its log ends with the error, the file to mend and the compiled SQL. Mend
it, then clear that task with its downstream (a laptop: `make up`, `make retry TASK=rpt_ltv`).

| task | red means | do |
|---|---|---|
| `preflight` | dbt, manifest, lake or warehouse is not as it must be | what the error says |
| `partitions`, `freshness` | the lake cannot be read | mend the file that the error names |
| `dbt_build` | dbt died thrice; nodes then build themselves, but on Fargate | as its error says |
| a node | error: retried twice before it is red; failed test: never retried | call its owner |
| `cross_model_tests` | marts disagree with each other | run the SQL that the error names |
| `record_partitions`, `kpi_summary`, `unlock` | the marts are good, if not recorded | clear it |

A node is skipped, with all after it, if a source that it needs is stale; then `done` is red.

**By hand** (Trigger, or REST with `conf`): `select`, `exclude` in dbt's syntax, `full_refresh`,
`from` and `to`, `dry_run` (`preflight` compiles and lists, the rest is skipped). What is not
selected is skipped, `done` is green, and the days stay unrecorded: the next run builds them.
"""

import os
from functools import partial

from airflow.sdk import DAG

from include.manifest import Manifest, uncollected
from include.orchestration import alerts, operators, transform
from include.run_form import RunForm
from include.settings import Settings

settings = Settings.from_env(os.environ)
manifest = Manifest.read()
run = ["--run-id", "{{ run_id }}"]
step = partial(operators.DbtEnvironmentOperator, settings=settings)

with (
    uncollected(),
    DAG(
        dag_id="game_analytics",
        schedule=None if settings.schedule == "none" else settings.schedule,
        catchup=False,
        max_active_runs=1,
        max_active_tasks=transform.MAX_ACTIVE_TASKS[settings.target],
        doc_md=__doc__,
        deadline=alerts.deadline(settings),
        default_args={
            "retries": 2,
            "retry_exponential_backoff": 2,
            "on_failure_callback": alerts.on_failure(settings),
        },
    ) as dag,
):
    preflight = step(
        task_id=operators.PREFLIGHT,
        command=["include.build.preflight", "--json"],
        form=RunForm.arguments,
        runs_dry=True,
        retries=0,
    )
    partitions = step(
        task_id="partitions", command=["include.lake", "partitions", *run], form=RunForm.days
    )
    freshness = step(task_id=operators.FRESHNESS, command=["include.lake", "freshness"])
    nodes = transform.dbt_nodes(settings, manifest)
    tests = transform.cross_model_tests(settings, manifest)
    record = operators.RecordOperator(
        task_id="record_partitions",
        settings=settings,
        nodes=map(manifest.name, manifest.built),
        command=["include.lake", "record", *run],
        form=RunForm.refresh,
    )
    kpis = step(task_id="kpi_summary", command=["include.build.kpis"], trigger_rule="all_done")
    done = operators.DoneOperator(
        task_id="done",
        manifest=manifest,
        producer=transform.producer(settings),
        assets=transform.marts(manifest),
    )

    preflight >> partitions >> freshness >> nodes >> tests
    if build := transform.dbt_build(settings, manifest):
        # Not above the nodes: they follow it while it runs, and outlive it if it fails.
        freshness >> build >> kpis
    if settings.target == "redshift":
        free = ["include.warehouse.build_lock", "free", *run]
        unlock = step(task_id="unlock", command=free, trigger_rule="all_done")
        kpis >> unlock >> done
    # The nodes again: the tests run without skipped ones, the days of which stay unrecorded.
    [nodes, tests] >> record
    [nodes, tests, record] >> kpis
    [nodes, tests, record, kpis] >> done

    # Last: Airflow copies the form into each task made after it, half a second per 1,000 tasks.
    dag.params.update(transform.params())
