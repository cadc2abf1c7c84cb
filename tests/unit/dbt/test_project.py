"""The house rules of the dbt project, each as one test over dbt's own parse of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbt.adapters.duckdb", reason="runs in the dbt environment")

from dbt.cli.main import dbtRunner

from include.lake.run_days.expiry import is_incremental, reads_lake
from include.lake.sources import sources
from include.manifest import Manifest
from include.settings import ROOT, Settings
from tests.support.warehouse import environment

PROJECT = ROOT / "dbt"
DISPATCH = PROJECT / "macros" / "dispatch"

ENGINES = ("duckdb", "redshift")

GRAIN = re.compile(r"One row per [^.]+\.\s*$")
"""How every description ends."""

ENGINE = re.compile(
    r"\btarget\s*\.|\badapter\s*\.|\bregexp?_\w+|\bjson_(?:extract|valid|type|parse|array)\w*"
    r"|\bis_valid_json|\btry_cast|\bstrptime|\bto_(?:date|char|timestamp)\b|\bmake_timestamp"
    r"|\bgetdate|\bnow\(|\bepoch_(?!to_timestamp)\w+|\bsimilar to\b|::|//"
    r"|\bdate_?diff|\bdate_?add|\blistagg"
)
"""What is spelled differently by another engine, and `::`, which is no house style."""

TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)

COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)


def engine_words(sql: str) -> list[str]:
    """What `ENGINE` finds, and the regex operator, which in a template joins texts."""
    return ENGINE.findall(sql) + re.findall("~", TEMPLATE.sub("", sql))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    target = tmp_path_factory.mktemp("project")
    with environment({"DBT_TARGET_PATH": str(target)}):
        parsed = dbtRunner().invoke(["--quiet", "--write-json", "parse", "--no-partial-parse"])
    assert parsed.success, parsed.exception
    return Manifest.read(target / "manifest.json")


@pytest.fixture(scope="module")
def built(manifest: Manifest) -> list[Mapping[str, Any]]:
    """Every model, seed and snapshot."""
    nodes = [manifest.nodes[unique_id] for unique_id in sorted(manifest.built)]
    assert {node["resource_type"] for node in nodes} == {"model", "seed", "snapshot"}
    return nodes


@pytest.fixture(scope="module")
def incremental(built: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    nodes = [node for node in built if node["config"]["materialized"] == "incremental"]
    assert nodes
    return nodes


def _sql(*folders: str) -> Iterator[tuple[str, str]]:
    """The SQL files below some of the project's folders, without the template's remarks."""
    for folder in folders:
        for path in sorted((PROJECT / folder).rglob("*.sql")):
            yield str(path.relative_to(PROJECT)), COMMENT.sub("", path.read_text())


def test_each_node_has_a_file_of_its_own_name(built: list[Mapping[str, Any]]) -> None:
    described = {
        node["name"]: Path((node["patch_path"] or node["original_file_path"]).split("://")[-1])
        for node in built
    }
    assert {name: path for name, path in described.items() if path.name != f"{name}.yml"} == {}
    beside = {name: PROJECT / path for name, path in described.items()}
    assert [name for name, path in beside.items() if not path.is_file()] == []


def test_each_description_ends_with_the_grain(built: list[Mapping[str, Any]]) -> None:
    assert [node["name"] for node in built if not GRAIN.search(node["description"])] == []


def test_each_column_is_described(built: list[Mapping[str, Any]]) -> None:
    assert [
        f"{node['name']}.{name}"
        for node in built
        for name, column in node["columns"].items()
        if not column["description"]
    ] == []


def test_each_node_has_an_owner(manifest: Manifest, built: list[Mapping[str, Any]]) -> None:
    owners = {
        group["name"]: group["owner"].get("name") and group["owner"].get("email")
        for group in manifest.content["groups"].values()
    }
    assert [node["name"] for node in built if not owners.get(node["config"].get("group"))] == []


def test_each_mart_has_a_contract(built: list[Mapping[str, Any]]) -> None:
    marts = [node for node in built if node["fqn"][1] == "marts"]
    assert len(marts) > 10
    assert [mart["name"] for mart in marts if not mart["config"]["contract"]["enforced"]] == []
    assert [
        f"{mart['name']}.{name}"
        for mart in marts
        for name, column in mart["columns"].items()
        if not column["data_type"]
    ] == []


def test_no_full_refresh_of_what_is_read_from_the_lake_loses_days(manifest: Manifest) -> None:
    hooked = {
        manifest.name(unique_id)
        for unique_id in manifest.built
        for hook in manifest.nodes[unique_id]["config"].get("pre-hook", ())
        if "refuse_to_lose_days()" in hook["sql"]
    }
    assert hooked == {
        manifest.name(unique_id)
        for unique_id in manifest.built
        if is_incremental(manifest.nodes[unique_id]) and reads_lake(manifest, unique_id)
    }
    assert "int_events" in hooked


def test_a_key_that_is_tested_day_by_day_holds_the_day(
    manifest: Manifest, incremental: list[Mapping[str, Any]]
) -> None:
    # A hash of the four columns beside it, of which one is the day.
    keys = {("fct_sessions", "session_key")}
    for node in incremental:
        day = node["config"]["meta"]["replaced_days"]["column"]
        for test in manifest.tests_of(node["unique_id"]):
            about = manifest.nodes[test]["test_metadata"]
            if about["name"] == "unique":
                assert (node["name"], about["kwargs"]["column_name"]) in keys, test
            if about["name"] == "unique_combination":
                assert day in about["kwargs"]["columns"], test


def test_each_incremental_model_says_which_days_it_replaces(
    manifest: Manifest, incremental: list[Mapping[str, Any]]
) -> None:
    partitioned = {source.name for source in sources(manifest) if source.partition_columns}
    for node in incremental:
        config, name = node["config"], node["name"]
        assert config["incremental_strategy"] == "replace_days", name
        assert config["on_schema_change"] == "append_new_columns", name
        replaced = config["meta"]["replaced_days"]
        assert set(replaced) == {"column", "sources", "before", "after"}, name
        assert node["columns"][replaced["column"]]["data_type"] == "date", name
        assert replaced["sources"], name
        assert set(replaced["sources"]) <= partitioned, name
        for side in ("before", "after"):
            assert isinstance(replaced[side], int), name
            assert replaced[side] >= 0, name


def test_no_model_knows_the_engine() -> None:
    files = dict(_sql("models", "snapshots", "tests", "macros"))
    known = {
        name: engine_words(sql)
        for name, sql in files.items()
        if not (PROJECT / name).is_relative_to(DISPATCH)
    }
    assert {name: found for name, found in known.items() if found} == {}
    # The same search finds what the dispatched macros are there for.
    assert [name for name in files if "dispatch" in name and not engine_words(files[name])] == []


@pytest.mark.parametrize(
    "sql",
    [
        "{% if target.type == 'duckdb' %}",
        "regexp_replace(a, 'b', 'c')",
        "json_extract_path_text(a, 'b')",
        "a::date",
        "a ~ 'b'",
        "try_cast(a as date)",
        "{{ adapter.dispatch('a')() }}",
    ],
)
def test_what_belongs_to_one_engine_is_found(sql: str) -> None:
    assert engine_words(sql)


def test_each_dispatched_macro_has_one_body_per_engine() -> None:
    files = sorted(DISPATCH.glob("*"))
    assert files
    for path in files:
        macros = re.findall(r"\{%-?\s*macro\s+(\w+)", path.read_text())
        public = [name for name in macros if "__" not in name]
        bodies = {name for name in macros if "__" in name}
        dispatched = re.findall(r"adapter\.dispatch\('(\w+)'\)", path.read_text())
        assert path.suffix == ".sql"
        assert public[:1] == [path.stem]
        assert path.stem in dispatched
        assert set(dispatched) <= set(public), path.name
        assert bodies == {f"{engine}__{name}" for engine in ENGINES for name in dispatched}


def test_every_macro_is_used(manifest: Manifest) -> None:
    macros = manifest.content["macros"]
    own = {
        unique_id
        for unique_id, macro in macros.items()
        if macro["package_name"] == "game_analytics"
    }
    assert len(own) > 20
    strategies = {
        f"get_incremental_{node['config']['incremental_strategy']}_sql"
        for node in manifest.nodes.values()
        if node["config"].get("incremental_strategy")
    }
    overridden = {macro["name"] for macro in macros.values() if macro["package_name"] == "dbt"}
    users = [*manifest.nodes.values(), *manifest.content["sources"].values(), *macros.values()]
    used = {
        macro
        for user in users
        for macro in user.get("depends_on", {}).get("macros", ())
        if macro != user["unique_id"]
    }
    # A dispatched macro's bodies are chosen while dbt runs.
    used |= {
        f"macro.game_analytics.{engine}__{unique_id.rsplit('.', 1)[-1]}"
        for unique_id in used
        for engine in ENGINES
    }
    called_by_dbt = {
        unique_id for unique_id in own if macros[unique_id]["name"] in strategies | overridden
    }
    assert sorted(own - used - called_by_dbt) == []


def test_everything_that_is_built_is_used(
    manifest: Manifest, built: list[Mapping[str, Any]]
) -> None:
    kinds = {"model", "seed", "snapshot", "exposure"}
    children = manifest.content["child_map"]
    unused = [
        node["name"]
        for node in built
        if not any(child.split(".", 1)[0] in kinds for child in children[node["unique_id"]])
    ]
    assert unused == []


def test_every_source_is_used(manifest: Manifest) -> None:
    children = manifest.content["child_map"]
    assert [source for source in manifest.content["sources"] if not children[source]] == []


def test_dbt_has_the_defaults_of_the_settings() -> None:
    expected = {f"GAME_ANALYTICS_{field.name.upper()}": field.default for field in fields(Settings)}
    written = [
        (path.name, *found)
        for path in sorted(PROJECT.rglob("*.*"))
        if path.suffix in {".sql", ".yml"} and "target" not in path.relative_to(PROJECT).parts
        for found in re.findall(
            r"env_var\(\s*'(GAME_ANALYTICS_\w+)'\s*(?:,\s*'([^']*)'\s*)?\)", path.read_text()
        )
    ]
    assert len({name for _, name, _ in written}) >= 4
    for file, name, default in written:
        if name == "GAME_ANALYTICS_DUCKDB":
            assert (PROJECT / default).resolve() == (ROOT / str(expected[name])).resolve(), file
        else:
            assert default == expected[name], (file, name)


def test_dbt_imports_no_python_of_ours() -> None:
    # dbt imports every module that is called dbt_*; a package `dbt` of ours would hide dbt itself.
    folders = [ROOT / name for name in ("dags", "dbt", "include", "plugins", "tests")]
    python = [path for folder in folders for path in folder.rglob("*.py")]
    assert len(python) > 10
    assert [path for path in python if path.name.startswith("dbt_")] == []
    assert list(PROJECT.rglob("__init__.py")) == []
