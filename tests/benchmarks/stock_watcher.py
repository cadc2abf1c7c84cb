"""The dbt project of this package in Cosmos's own WATCHER mode, as Cosmos documents it.

The benchmark replaces `dags/game_analytics.py` with this file in its copy of the checkout.
"""

import os

from airflow.sdk import DAG
from cosmos import DbtTaskGroup, ExecutionConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode

from include.manifest import MANIFEST, PROJECT
from include.orchestration import connection
from include.settings import Settings

settings = Settings.from_env(os.environ)

with DAG(
    dag_id="game_analytics",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2},
):
    DbtTaskGroup(
        group_id="dbt",
        project_config=ProjectConfig(
            dbt_project_path=PROJECT,
            manifest_path=MANIFEST,
            project_name="game_analytics",
            env_vars=connection.environment(settings),
            install_dbt_deps=False,
        ),
        profile_config=connection.profile(settings),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.WATCHER,
            invocation_mode=InvocationMode.SUBPROCESS,
            dbt_executable_path=settings.dbt_executable,
            setup_operator_args={
                # A second try of the producer builds nothing and uses up the tries of the nodes.
                "retries": 0,
                # The plain build runs no unit tests either.
                "dbt_cmd_flags": ["--exclude-resource-type", "unit_test"],
            },
        ),
        render_config=RenderConfig(load_method=LoadMode.DBT_MANIFEST),
    )
