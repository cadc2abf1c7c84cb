"""The rules of the dbt project, one test for each, on dbt's manifest and on the files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

pytest.importorskip("dbt.adapters.duckdb", reason="runs in the dbt environment")

from dbt.cli.main import dbtRunner
from dbt.include import redshift

from include.lake.run_days.expiry import reads_lake, replaced_days
from include.lake.run_days.tables import changed_keys
from include.lake.sources import sources
from include.manifest import Manifest
from include.settings import ROOT, Settings
from tests.support.warehouse import environment

PROJECT = ROOT / "dbt"
MODELS = PROJECT / "models"
DISPATCH = PROJECT / "macros" / "dispatch"

ENGINES = ("duckdb", "redshift")

GRAIN = re.compile(r"One row per [^.]+\.\s*$")
"""The last sentence of the description of each model, seed, snapshot and source table."""

SENTENCE = re.compile(r"[A-Z].*\.\s*", re.DOTALL)
"""A description starts with a capital letter and ends with a full stop."""

DOC = re.compile(r"\{\{ doc\('(\w+)'\) \}\}")
"""A description that is taken from a doc block."""

DOC_BLOCK = re.compile(r"\{% docs (\w+) %\}\n(.*?)\n\{% enddocs %\}", re.DOTALL)

LONGEST_NAME = 63
"""The bytes of a name that PostgreSQL keeps; the stand-in for Redshift is PostgreSQL."""

ENGINE = re.compile(
    r"\btarget\s*\.|\badapter\s*\.|\bregexp?_\w+|\bjson_(?:extract|valid|type|parse|array)\w*"
    r"|\bis_valid_json|\btry_cast|\bstrptime|\bto_(?:date|char|timestamp)\b|\bmake_timestamp"
    r"|\bgetdate|\bnow\(|\bepoch_(?!to_timestamp)\w+|\bsimilar to\b|::|//"
    r"|\bdate_?diff|\bdate_?add|\blistagg"
)
"""SQL that differs between the engines, and `::`, which the style guide excludes."""

TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)

COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)


def engine_words(sql: str) -> list[str]:
    """The matches of `ENGINE`, and each `~` outside a template, where it matches a regex."""
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
    """All models, seeds and snapshots."""
    nodes = [manifest.nodes[unique_id] for unique_id in sorted(manifest.built)]
    assert {node["resource_type"] for node in nodes} == {"model", "seed", "snapshot"}
    return nodes


@pytest.fixture(scope="module")
def incremental(built: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    nodes = [node for node in built if node["config"]["materialized"] == "incremental"]
    assert nodes
    return nodes


def _sql(*folders: str) -> Iterator[tuple[str, str]]:
    """Path and text of the SQL files below these folders, without the comments of the template."""
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


class Described(NamedTuple):
    """A thing that a YAML file describes, and the text of its description as written there."""

    name: str
    text: str


@cache
def _yaml_contents() -> list[Mapping[str, Any]]:
    """The content of each YAML file of the project's models, seeds and snapshots."""
    return [
        yaml.safe_load(path.read_text())
        for folder in ("models", "seeds", "snapshots")
        for path in sorted((PROJECT / folder).rglob("*.yml"))
    ]


def _described(entry: Mapping[str, Any], parent: str = "") -> Described:
    # The resolved text in the manifest would hide that two columns share a doc block.
    return Described(f"{parent}{entry['name']}", str(entry.get("description") or "").strip())


def _tables() -> Iterator[Mapping[str, Any]]:
    """The YAML of each model, seed, snapshot and table of a source."""
    for content in _yaml_contents():
        for kind in ("models", "seeds", "snapshots"):
            yield from content.get(kind, ())
        for source in content.get("sources", ()):
            yield from source["tables"]


def _columns() -> list[Described]:
    """The columns of all tables, by table and column name."""
    return [
        _described(column, f"{table['name']}.")
        for table in _tables()
        for column in table["columns"]
    ]


def _doc_blocks() -> list[Described]:
    return [Described(*block) for block in DOC_BLOCK.findall((MODELS / "columns.md").read_text())]


def test_each_description_ends_with_the_grain() -> None:
    described = [_described(table) for table in _tables()]
    assert len(described) > 40
    assert [name for name, text in described if not GRAIN.search(text)] == []


def test_each_description_is_a_sentence() -> None:
    others = [
        _described(entry)
        for content in _yaml_contents()
        for kind in ("sources", "exposures", "groups", "unit_tests")
        for entry in content.get(kind, ())
    ]
    literal = [column for column in _columns() if not DOC.fullmatch(column.text)]
    described = [*map(_described, _tables()), *literal, *others, *_doc_blocks()]
    assert len(described) > 300
    assert [
        (name, text)
        for name, text in described
        if not SENTENCE.fullmatch(text) or len(text.split()) < 5
    ] == []


def test_no_description_of_a_column_is_written_twice() -> None:
    literal = [text for _, text in _columns() if not DOC.fullmatch(text)]
    written = Counter([*literal, *(" ".join(text.split()) for _, text in _doc_blocks())])
    assert [text for text, count in written.items() if count > 1] == []


def test_each_doc_block_describes_several_columns() -> None:
    uses = Counter(match[1] for _, text in _columns() if (match := DOC.fullmatch(text)))
    assert {name: uses[name] for name, _ in _doc_blocks() if uses[name] < 2} == {}


def test_each_data_test_is_named_after_what_it_tests(manifest: Manifest) -> None:
    generic = [node for node in manifest.nodes.values() if node.get("test_metadata")]
    assert len(generic) > 60
    expected = {
        node["name"]: "__".join(
            filter(
                None,
                (
                    manifest.name(node["attached_node"]),
                    node["column_name"],
                    node["test_metadata"]["name"],
                ),
            )
        )
        for node in generic
    }
    assert {name: right for name, right in expected.items() if name != right} == {}
    assert [name for name in expected if len(name.encode()) > LONGEST_NAME] == []


def test_a_unit_test_s_name_is_short_enough_for_its_table(manifest: Manifest) -> None:
    # dbt appends `__dbt_tmp` and the time of day, 21 bytes in all.
    names = [node["name"] for node in manifest.content["unit_tests"].values()]
    assert len(names) > 40
    assert [name for name in names if len(name.encode()) > LONGEST_NAME - 21] == []


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


def test_each_model_that_reads_the_lake_refuses_to_lose_days(manifest: Manifest) -> None:
    hooked = {
        manifest.name(unique_id)
        for unique_id in manifest.built
        for hook in manifest.nodes[unique_id]["config"].get("pre-hook", ())
        if "refuse_to_lose_days()" in hook["sql"]
    }
    assert hooked == {
        manifest.name(unique_id)
        for unique_id in manifest.built
        if replaced_days(manifest.nodes[unique_id]) and reads_lake(manifest, unique_id)
    }
    assert "int_events" in hooked


def test_a_key_that_is_tested_day_by_day_holds_the_day(
    manifest: Manifest, incremental: list[Mapping[str, Any]]
) -> None:
    # The session key is a hash of four columns, and one of them is the day.
    keys = {("fct_sessions", "session_key")}
    for node in filter(replaced_days, incremental):
        day = node["config"]["meta"]["replaced_days"]["column"]
        for test in manifest.tests_of(node["unique_id"]):
            about = manifest.nodes[test]["test_metadata"]
            if about["name"] == "unique":
                assert (node["name"], about["kwargs"]["column_name"]) in keys, test
            if about["name"] == "unique_combination_of_columns":
                assert day in about["kwargs"]["combination_of_columns"], test


def test_each_incremental_model_declares_the_days_that_it_replaces(
    manifest: Manifest, incremental: list[Mapping[str, Any]]
) -> None:
    partitioned = {source.name for source in sources(manifest) if source.partition_columns}
    for node in incremental:
        config, name = node["config"], node["name"]
        assert config["on_schema_change"] in {"append_new_columns", "fail"}, name
        replaced = replaced_days(node)
        if config["incremental_strategy"] == "replace_changed_rows" and not replaced:
            continue
        assert replaced, name
        assert set(replaced) == {"column", "sources", "before", "after"}, name
        assert node["columns"][replaced["column"]]["data_type"] == "date", name
        assert replaced["sources"], name
        assert set(replaced["sources"]) <= partitioned, name
        for side in ("before", "after"):
            assert isinstance(replaced[side], int), name
            assert replaced[side] >= 0, name


def test_a_model_that_replaces_rows_by_key_has_the_key_of_its_tests(
    manifest: Manifest, incremental: list[Mapping[str, Any]]
) -> None:
    by_key = [n for n in incremental if n["config"]["incremental_strategy"] != "replace_days"]
    assert len(by_key) > 10
    for node in by_key:
        assert node["config"]["incremental_strategy"] == "replace_changed_rows", node["name"]
        own = [manifest.nodes[test] for test in manifest.tests_of(node["unique_id"])]
        tests = [test for test in own if test.get("test_metadata")]
        keys = [
            about["kwargs"].get("combination_of_columns", [about["kwargs"].get("column_name")])
            for about in (test["test_metadata"] for test in tests)
            if about["name"] in {"unique", "unique_combination_of_columns"}
        ]
        assert keys == [node["config"]["unique_key"]], node["name"]
        # A key with a null would not find the row that it removes.
        nullable = [
            set(test["test_metadata"]["kwargs"].get("nullable", ()))
            for test in tests
            if test["test_metadata"]["name"] == "never_null"
        ]
        assert nullable, node["name"]
        assert not nullable[0] & set(node["config"]["unique_key"]), node["name"]


def test_changed_keys_have_a_table_and_inputs_with_these_columns(
    manifest: Manifest, incremental: list[Mapping[str, Any]]
) -> None:
    declared = {
        node["name"]: node["config"]["meta"]["changed_keys"]
        for node in incremental
        if "changed_keys" in node["config"]["meta"]
    }
    by_name = {node["name"]: node for node in incremental}
    assert changed_keys(manifest).keys() == declared.keys()
    for name, keys in declared.items():
        # Each table that a model reads says what its changes mean for the model's rows.
        read = {manifest.name(parent) for parent in manifest.parents(by_name[name]["unique_id"])}
        assert {each["model"] for each in keys["inputs"]} == read, name
        for each in keys["inputs"]:
            known = {"model", "columns", "through", "joined", "where", "watched", "after"}
            assert set(each) <= known | {"rows_where"}, name
            strategy = by_name[each["model"]]["config"]["incremental_strategy"]
            assert strategy == "replace_changed_rows", name
            assert len(each["columns"]) == len(keys["columns"]), name
            assert ("through" in each) == ("joined" in each), name
            holder = by_name[each.get("through", each["model"])]["columns"]
            assert {*each["columns"], *each.get("joined", ())} <= set(holder), name
            changed = by_name[each["model"]]["columns"]
            assert {*each.get("watched", ()), *each.get("joined", {}).values()} <= set(changed)


def test_only_dispatched_macros_differ_between_engines() -> None:
    files = dict(_sql("models", "snapshots", "tests", "macros"))
    known = {
        name: engine_words(sql)
        for name, sql in files.items()
        if not (PROJECT / name).is_relative_to(DISPATCH)
    }
    assert {name: found for name, found in known.items() if found} == {}
    # Each file of a dispatched macro has such SQL; a file without it would need no dispatch.
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
def test_sql_of_one_engine_is_found(sql: str) -> None:
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
    # A manifest of target `local` has no macros of dbt-redshift.
    for path in Path(redshift.PACKAGE_PATH).rglob("*.sql"):
        overridden |= set(re.findall(r"macro (redshift__\w+)", path.read_text()))
    users = [*manifest.nodes.values(), *manifest.content["sources"].values(), *macros.values()]
    used = {
        macro
        for user in users
        for macro in user.get("depends_on", {}).get("macros", ())
        if macro != user["unique_id"]
    }
    # dbt chooses the body of a dispatched macro while it runs: the manifest shows no use of it.
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


def test_dbt_imports_no_python_of_the_project() -> None:
    # dbt imports every module whose name starts with dbt_. A package named dbt would hide dbt.
    folders = [ROOT / name for name in ("dags", "dbt", "include", "plugins", "tests")]
    python = [path for folder in folders for path in folder.rglob("*.py")]
    assert len(python) > 10
    assert [path for path in python if path.name.startswith("dbt_")] == []
    assert list(PROJECT.rglob("__init__.py")) == []
