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
