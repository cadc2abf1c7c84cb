"""Each node of an odd project has a task id of its own and a selector that selects it alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest as DbtManifest

from include.manifest import Manifest
from tests.support.odd_project import TASK_IDS, write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the project, behind links as Cosmos makes them for each task."""
    written, linked = tmp_path_factory.mktemp("written"), tmp_path_factory.mktemp("linked")
    write_project(written)
    for path in written.iterdir():
        (linked / path.name).symlink_to(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_PROJECT_DIR", str(linked))
        patch.setenv("DBT_PROFILES_DIR", str(linked))
        patch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
        patch.setenv("DBT_LOG_LEVEL_FILE", "none")
        yield linked


@pytest.fixture(scope="module")
def parsed(project: Path) -> DbtManifest:
    result = dbtRunner().invoke(["--quiet", "parse", "--project-dir", str(project)])
    assert isinstance(result.result, DbtManifest), result.exception
    return result.result


@pytest.fixture(scope="module")
def selected(parsed: DbtManifest) -> Callable[[str], list[str]]:
    """A function that returns the ids of the nodes and tests that a selector selects."""
    runner = dbtRunner(manifest=parsed)

    def resolve(selector: str) -> list[str]:
        options = ["--output", "json", "--output-keys", "unique_id", "--indirect-selection"]
        listed = runner.invoke(["--quiet", "ls", *options, "empty", "--select", selector])
        lines = listed.result
        assert isinstance(lines, list), listed.exception
        return [json.loads(str(line))["unique_id"] for line in lines]

    return resolve


@pytest.fixture(scope="module")
def manifest(project: Path, parsed: DbtManifest) -> Manifest:
    assert parsed.nodes
    return Manifest.read(project / "target" / "manifest.json")


def test_task_ids_hold_the_version_and_no_dot(manifest: Manifest) -> None:
    assert {node: manifest.task_id(node) for node in manifest.built} == TASK_IDS


def test_each_selector_selects_one_node_or_test(
    manifest: Manifest, selected: Callable[[str], list[str]]
) -> None:
    found = {unique_id: selected(manifest.selector(unique_id)) for unique_id in manifest.nodes}
    assert found == {unique_id: [unique_id] for unique_id in manifest.nodes}


def test_a_bare_name_would_select_a_folder(selected: Callable[[str], list[str]]) -> None:
    assert len(selected("fqn:game_analytics.marts.betting")) > 1
    assert len(selected("marts")) > 1
