"""Renders the dbt project as Airflow tasks with Cosmos: one per seed, snapshot and model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, BaseOperator, Param
from cosmos import DbtTaskGroup, ExecutionConfig, ProjectConfig, RenderConfig
from cosmos.constants import (
    DbtResourceType,
    ExecutionMode,
    InvocationMode,
    LoadMode,
    TestBehavior,
    TestIndirectSelection,
)
from cosmos.dbt.graph import DbtNode

from include.manifest import BUILT_TYPES, MANIFEST, PROJECT, Manifest
from include.messages import CROSS_MODEL_TESTS
from include.orchestration import connection
from include.orchestration.operators.nodes import CrossModelTestsOperator, DbtNodeOperator
from include.orchestration.operators.selection import FRESHNESS
from include.orchestration.operators.steps import DbtEnvironmentOperator
from include.orchestration.watcher.nodes import (
    PRODUCER,
    WatchedFreshnessOperator,
    WatchedNodeOperator,
    WatchedTestsOperator,
)
from include.orchestration.watcher.producer import DbtBuildOperator
from include.run_form import FIELDS
from include.settings import Settings

MAX_ACTIVE_TASKS = {"local": 2, "redshift": 8}
"""By target. DuckDB allows one writer at a time, so more tasks would only wait for each other."""


class Operators(NamedTuple):
    """The operators of an execution mode; `producer` is None if each node's task runs dbt."""

    node: Callable[..., BaseOperator]
    tests: Callable[..., BaseOperator]
    producer: Callable[..., BaseOperator] | None
    freshness: Callable[..., BaseOperator] = DbtEnvironmentOperator


def operators(settings: Settings) -> Operators:
    """The operators of the setting EXECUTION."""
    if not settings.runs_on_ecs:
        return {
            "local": Operators(DbtNodeOperator, CrossModelTestsOperator, None),
            "watcher": Operators(
                WatchedNodeOperator,
                WatchedTestsOperator,
                DbtBuildOperator,
                WatchedFreshnessOperator,
            ),
        }[settings.execution]
    # Imported only for these modes, because the import takes 0.5 s of each parse of the DAG.
    from include.orchestration.ecs import nodes, producer

    return {
        "ecs": Operators(nodes.ContainerNodeOperator, nodes.ContainerTestsOperator, None),
        "fargate": Operators(
            nodes.FargateNodeOperator, nodes.FargateTestsOperator, producer.FargateBuildOperator
        ),
    }[settings.execution]


def freshness(settings: Settings, command: Sequence[str]) -> BaseOperator:
    """The task `freshness`, whose result is a `StaleSources`; `command` finds it on a worker."""
    return operators(settings).freshness(task_id=FRESHNESS, settings=settings, command=command)


def dbt_nodes(settings: Settings, manifest: Manifest) -> DbtTaskGroup:
    """The task group `dbt`: one task per seed, snapshot and model.

    Task ids are node names; a version is part of it, and dots are underscores.
    """
    project = ProjectConfig(
        dbt_project_path=PROJECT,
        manifest_path=MANIFEST,
        project_name="game_analytics",
        install_dbt_deps=False,
    )
    # Cosmos makes an ObjectStoragePath of it. Opening that imports all plugins and the S3 file
    # system, for which each parse of the DAG, and so each worker, needs half a second.
    project.manifest_path = MANIFEST

    def convert(node: DbtNode, task_args: dict[str, Any], **arguments: Any) -> BaseOperator:
        place = {
            "dag": arguments["dag"],
            "task_group": arguments["task_group"],
            "task_id": manifest.task_id(node.unique_id),
        }
        if node.has_ephemeral_materialization:
            return EmptyOperator(**place)
        return operators(settings).node(
            **place,
            **task_args,
            select=manifest.selector(node.unique_id),
            # `--exclude resource_type:unit_test` would fail in a project without unit tests.
            dbt_cmd_flags=["--exclude-resource-type", "unit_test"],
            # Tests that have another parent too run in cross_model_tests.
            indirect_selection=TestIndirectSelection.CAUTIOUS.value,
            sources={node.unique_id: manifest.sources(node.unique_id)},
            files=_files(manifest, [node.unique_id, *manifest.tests_of(node.unique_id)]),
            model_file=_files(manifest, [node.unique_id])[node.unique_id],
            **({"settings": settings} if settings.runs_on_ecs else {}),
            owner=manifest.owner(node.unique_id) or "airflow",
            outlets=[asset] if (asset := marts(manifest).get(place["task_id"])) else [],
        )

    return DbtTaskGroup(
        group_id="dbt",
        prefix_group_id=False,
        project_config=project,
        profile_config=connection.profile(settings),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.AWS_ECS if settings.runs_on_ecs else ExecutionMode.LOCAL,
            invocation_mode=None if settings.runs_on_ecs else InvocationMode.SUBPROCESS,
            dbt_executable_path=settings.dbt_executable,
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.BUILD,
            # These have no task. Cosmos would log a warning for each of them at every parse.
            exclude=["resource_type:exposure", "resource_type:analysis"],
            emit_datasets=False,
            node_converters={DbtResourceType(kind): convert for kind in sorted(BUILT_TYPES)},
        ),
    )


def cross_model_tests(settings: Settings, manifest: Manifest) -> BaseOperator:
    """The task `cross_model_tests`: all data tests that no task of a node runs."""
    tests = manifest.tests_across()
    own = (
        {"settings": settings}
        if settings.runs_on_ecs
        else {
            "dbt_executable_path": settings.dbt_executable,
            "invocation_mode": InvocationMode.SUBPROCESS,
            "install_deps": False,
            "emit_datasets": False,
        }
    )
    return operators(settings).tests(
        task_id=CROSS_MODEL_TESTS,
        # If some nodes are skipped, the tests of the other nodes still run.
        trigger_rule="none_failed",
        project_dir=str(PROJECT),
        profile_config=connection.profile(settings),
        **own,
        sources={manifest.selector(test): manifest.sources(test) for test in tests},
        nodes={manifest.selector(test): manifest.parents(test) & manifest.built for test in tests},
        files=_files(manifest, tests),
    )


def producer(settings: Settings) -> str | None:
    """The id of the task that runs dbt for all nodes, or None in a mode without one."""
    return PRODUCER if operators(settings).producer else None


def dbt_build(settings: Settings, manifest: Manifest) -> BaseOperator | None:
    """The task that runs dbt for all nodes at once, or None in a mode without one."""
    make = operators(settings).producer
    return make and make(
        task_id=PRODUCER, settings=settings, manifest=manifest, assets=marts(manifest)
    )


def params() -> dict[str, Param]:
    """The fields of a manual run's form, in Airflow's type."""
    return {name: Param(**field) for name, field in FIELDS.items()}


@lru_cache(maxsize=1)
def marts(manifest: Manifest) -> dict[str, Asset]:
    """The Airflow asset of each mart, by task id, on which DAGs of other teams can be scheduled."""
    names = (
        manifest.task_id(node)
        for node in sorted(manifest.built)
        if "marts" in Path(manifest.nodes[node]["original_file_path"]).parts
    )
    return {
        name: Asset(name=f"marts.{name}", uri=f"game-analytics://marts/{name}") for name in names
    }


def _files(manifest: Manifest, unique_ids: Iterable[str]) -> dict[str, str]:
    return {
        unique_id: f"{PROJECT.name}/{manifest.nodes[unique_id]['original_file_path']}"
        for unique_id in unique_ids
    }
