"""The facts that are read from dbt's manifest, and whether it belongs to the project's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include import manifest
from include.manifest import Manifest, fingerprint, shown
from include.settings import ROOT, Settings, UserError


def node(kind: str, *parents: str, **config: str) -> dict[str, object]:
    return {"resource_type": kind, "depends_on": {"nodes": list(parents)}, "config": config}


GRAPH = Manifest(
    {
        "nodes": {
            "model.p.a": node("model", "source.p.lake.x", group="team"),
            "model.p.inline": node("model", "source.p.lake.y", materialized="ephemeral"),
            "model.p.b": node("model", "model.p.a", "model.p.inline"),
            "seed.p.s": node("seed"),
            "test.p.of_a": node("test", "model.p.a"),
            "test.p.of_a_and_s": node("test", "model.p.a", "seed.p.s"),
            "test.p.of_a_source": node("test", "source.p.lake.x"),
            "test.p.of_nothing": node("test"),
        },
        "groups": {"group.p.team": {"name": "team", "owner": {"email": "t@x.org", "name": None}}},
    }
)


def test_sources_are_found_through_all_ancestors() -> None:
    assert GRAPH.sources("model.p.b") == {"source.p.lake.x", "source.p.lake.y"}
    assert GRAPH.sources("seed.p.s") == frozenset()


def test_built_nodes_and_the_tests_that_no_node_s_build_runs() -> None:
    assert GRAPH.built == {"model.p.a", "model.p.b", "seed.p.s"}
    across = ["test.p.of_a_and_s", "test.p.of_a_source", "test.p.of_nothing"]
    assert GRAPH.tests_across() == across


def test_a_task_id_holds_the_version_and_no_dot() -> None:
    nodes = {
        "model.p.levels.v1": node("model"),
        "model.p.levels.v2": node("model", materialized="ephemeral"),
        "seed.p.rpt.weekly": node("seed"),
    }
    names = {name: Manifest({"nodes": nodes}).task_id(name) for name in nodes}
    assert list(names.values()) == ["levels_v1", "levels_v2", "rpt_weekly"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("model.p.levels.v1", "model.p.levels_v1"),
        ("model.p.rpt.weekly", "seed.p.rpt_weekly"),
        ("model.p.a", "model.q.a"),
        ("snapshot.p.a", "seed.q.a"),
    ],
)
def test_two_nodes_with_one_task_id_are_an_error_that_names_both(first: str, second: str) -> None:
    nodes = {name: node(name.split(".")[0]) for name in (first, second, "test.p.a")}
    one, other = sorted((first, second))
    with pytest.raises(UserError, match=f"^{one} and {other} would share the Airflow task"):
        Manifest({"nodes": nodes}).check_names()


def test_a_node_with_the_name_of_a_step_is_an_error() -> None:
    with pytest.raises(UserError, match=r"model\.p\.done has the name of the DAG's task done"):
        Manifest({"nodes": {"model.p.done": node("model")}}).task_id("model.p.done")


def test_a_node_of_another_package_is_selected_by_package_and_file() -> None:
    made = node("model") | {
        "package_name": "q",
        "original_file_path": "models/x/my file.sql",
        "fqn": ["q", "x", "my file"],
    }
    other = Manifest({"nodes": {"model.q.a": made}, "metadata": {"project_name": "p"}})
    assert other.selector("model.q.a") == "package:q,file:my?file.sql,fqn:q.x.my?file"


@pytest.mark.parametrize(
    ("unique_id", "expected"),
    [
        ("model.p.levels.v1", ("model", "levels_v1")),
        ("test.p.unique_rpt.weekly_week.ff8a882133", ("test", "unique_rpt.weekly_week")),
        ("test.p.assert_something", ("test", "assert_something")),
    ],
)
def test_kind_and_name_in_messages(unique_id: str, expected: tuple[str, str]) -> None:
    assert manifest.described(unique_id) == expected


def test_the_owner_of_a_node_is_its_group_s_owner() -> None:
    assert GRAPH.owner("model.p.a") == "t@x.org"
    assert GRAPH.owner("model.p.b") == ""


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"nodes": 1}', "\x00"])
def test_a_damaged_manifest_is_one_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(UserError, match="Run `make manifest`"):
        Manifest.read(path)


def test_the_fingerprint_depends_on_all_files_but_no_output(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    project = tmp_path / "dbt"
    (project / "models").mkdir(parents=True)
    model = project / "models" / "a.sql"
    model.write_text("select 1")
    lock.write_text("dbt-core==1")
    first = fingerprint(project, lock)
    (project / "target").mkdir()
    (project / "target" / "manifest.json").write_text("{}")
    (project / "of_others" / "models").mkdir(parents=True)
    (project / "of_others" / "dbt_project.yml").write_text("name: of_others")
    (project / "of_others" / "models" / "b.sql").write_text("select 1")
    assert fingerprint(project, lock) == first
    seen = {first}
    model.write_text("select 2")
    seen.add(fingerprint(project, lock))
    model.rename(model.with_name("b.sql"))
    seen.add(fingerprint(project, lock))
    lock.write_text("dbt-core==2")
    seen.add(fingerprint(project, lock))
    assert len(seen) == 4


def test_after_a_failed_parse_the_manifest_is_not_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    dbt = tmp_path / "dbt-stand-in"
    dbt.write_text("#!/bin/sh\necho 'Compilation Error in model a'\nexit 2\n")
    dbt.chmod(0o755)
    monkeypatch.setattr(manifest, "MANIFEST", target / "manifest.json")
    monkeypatch.setattr(manifest, "FINGERPRINT", target / "manifest.fingerprint")
    (target / "manifest.json").write_text(json.dumps({"nodes": {}}))
    (target / "manifest.fingerprint").write_text("of other files")
    with pytest.raises(UserError, match="Compilation Error in model a"):
        manifest.make(Settings(dbt_executable=str(dbt)))
    assert not manifest.is_current()
    with pytest.raises(UserError, match="make install"):
        manifest.make(Settings(dbt_executable=str(tmp_path / "none")))


def test_a_path_in_the_checkout_is_shown_relative_to_it() -> None:
    assert shown(ROOT / "dbt" / "models") == "dbt/models"
    assert shown(Path("/elsewhere/a.sql")) == "/elsewhere/a.sql"
