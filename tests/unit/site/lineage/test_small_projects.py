"""Lineage of projects with odd nodes, and what a second run computes again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlglot", reason="runs in the dbt environment")

from include.site import lineage
from include.site.lineage import ROWS, Column, ColumnLineage, Kind, column_lineage
from include.site.lineage.cache import code_hash
from include.site.lineage.project import kept_lineage
from include.site.lineage.templates import Forms
from tests.support.small_manifest import manifest

TABLES = {"t": ["a", "b"]}

CHAIN = {
    "one": "select a, b from s.t",
    "two": "select a from m.one",
    "other": "select b from s.t",
    "three": "select two.a, other.b from m.two cross join m.other",
}


def edges(found: ColumnLineage) -> set[tuple[str, str]]:
    assert found.unresolved == []
    for edge in found.edges:
        for column in (edge.origin, edge.target):
            assert column.name in {*found.columns[column.unique_id], ROWS}, edge
    return {(_named(edge.origin), _named(edge.target)) for edge in found.edges}


def _named(column: Column) -> str:
    return f"{column.unique_id.split('.', 2)[2]}.{column.name}"


def reads_one(sql: str, unique_id: str, **fields: Any) -> dict[str, Any]:
    """A project in which the node `one` has these fields, and the model `x` reads it by the SQL."""
    content = manifest({"one": "select a, b from s.t", "x": sql}, TABLES)
    node = content["nodes"].pop("model.p.one")
    x = content["nodes"].pop("model.p.x")
    x["depends_on"]["nodes"] = [unique_id]
    return content | {
        "nodes": {unique_id: node | {"unique_id": unique_id} | fields, "model.p.x": x}
    }


def test_an_ephemeral_model_is_a_step_of_its_own() -> None:
    content = reads_one(
        # The SQL of the ephemeral model is not followed here: its tables are no parents of `x`.
        "with __dbt__cte__one as (select * from s.t, lateral (select z from json_each(t.b))), "
        "one as (select * from __dbt__cte__one) select a from one",
        "model.p.one",
        config={"materialized": "ephemeral"},
        relation_name=None,
    )
    assert edges(column_lineage(content, "duckdb")) == {
        ("s.t.a", "one.a"),
        ("s.t.b", "one.b"),
        ("one.a", "x.a"),
    }


def test_a_version_of_a_model_is_found_by_its_table() -> None:
    content = reads_one("select a from db.m.one_v2", "model.p.one.v2", alias="one_v2", version=2)
    assert ("one.v2.a", "x.a") in edges(column_lineage(content, "duckdb"))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"strategy": "check"}, {("one.a", "one.dbt_scd_id")}),
        (
            {"strategy": "timestamp", "updated_at": "b"},
            {
                *(("one.a", "one.dbt_scd_id"), ("one.b", "one.dbt_scd_id")),
                *(
                    ("one.b", f"one.dbt_{name}")
                    for name in ("updated_at", "valid_from", "valid_to")
                ),
            },
        ),
    ],
)
def test_a_snapshot_has_the_columns_that_dbt_adds(
    config: dict[str, str], expected: set[tuple[str, str]]
) -> None:
    content = reads_one(
        "select a from m.one where dbt_valid_to is null and gone = 'false'",
        "snapshot.p.one",
        resource_type="snapshot",
        config={
            **{"materialized": "snapshot", "unique_key": "a", "hard_deletes": "new_record"},
            **{"snapshot_meta_column_names": {"dbt_is_deleted": "gone"}, **config},
        },
    )
    found = edges(column_lineage(content, "duckdb"))
    assert found - expected == {
        *(("s.t.a", "one.a"), ("s.t.b", "one.b"), ("one.a", "x.a")),
        *(("one.dbt_valid_to", "x.*"), ("one.gone", "x.*")),
    }
    assert expected <= found


def test_a_seed_has_the_columns_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "one.csv").write_text("\ufeffA;b\n1;2\n", encoding="utf-8")
    seed = {
        **{"resource_type": "seed", "root_path": str(tmp_path)},
        **{"original_file_path": "seeds/one.csv", "config": {"delimiter": ";"}},
    }
    content = reads_one("select * from m.one", "seed.p.one", **seed)
    assert edges(column_lineage(content, "duckdb")) == {("one.a", "x.a"), ("one.b", "x.b")}
    # A package for MWAA may lack the file.
    (tmp_path / "seeds" / "one.csv").unlink()
    seed["columns"] = {"A": {}}
    content = reads_one("select * from m.one", "seed.p.one", **seed)
    assert edges(column_lineage(content, "duckdb")) == {("one.a", "x.a")}


def test_a_model_that_reads_itself_has_no_edge_from_itself() -> None:
    sql = "select a from s.t where a > (select max(a) from m.x)"
    found = column_lineage(
        manifest({"x": sql}, TABLES, {"x": {"columns": {"a": {"name": "a"}}}}), "duckdb"
    )
    assert edges(found) == {("s.t.a", "x.a"), ("s.t.a", "x.*")}


def test_a_source_without_declared_columns_can_have_any() -> None:
    found = column_lineage(manifest({"x": "select a, t.b from s.t"}, {"t": []}), "redshift")
    assert edges(found) == {("s.t.a", "x.a"), ("s.t.b", "x.b")}
    sql = "with w as (select * from s.t), v as (select w.* from w) select a, upper(v.b) as b from v"
    found = column_lineage(manifest({"x": sql}, {"t": []}), "redshift")
    assert edges(found) == {("s.t.a", "x.a"), ("s.t.b", "x.b")}
    found = column_lineage(manifest({"x": "select * from s.t"}, {"t": []}), "redshift")
    assert [item.reason for item in found.unresolved] == ["the columns of * are not known"]
    assert not found.columns["model.p.x"]


def test_a_source_without_declared_columns_has_those_that_are_read(tmp_path: Path) -> None:
    content = manifest(
        {"x": "select b as c, a from s.t where z > 1", "y": "select v from s.t"}, {"t": []}
    )
    file = tmp_path / "lineage.json"
    found = column_lineage(content, "duckdb", cache_file=file)
    assert set(found.columns["source.p.s.t"]) == {"a", "b", "v", "z"}
    assert kept_lineage(content, file).columns == found.columns
    # A kept result can name a source that the manifest does not have any more.
    kept = kept_lineage({"nodes": {}, "sources": {}}, file)
    assert kept.columns == found.columns
    assert edges(kept) == edges(found)


def test_two_schemas_with_a_table_of_the_same_name_are_not_confused() -> None:
    content = manifest(
        {"t": "select b as a from s.t", "x": "select m.t.a, u.b from m.t join s.t as u on true"},
        TABLES,
    )
    assert {("t.a", "x.a"), ("s.t.b", "x.b")} <= edges(column_lineage(content, "duckdb"))


def test_a_query_that_fails_names_all_declared_columns_and_stops_no_other_model() -> None:
    content = manifest(
        {"bad": "select from (", "x": "select a from m.bad", "good": "select a from s.t"},
        TABLES,
        {"bad": {"columns": {"A": {"name": "A"}, "c": {"name": "c"}}}},
    )
    found = column_lineage(content, "duckdb")
    assert {_named(item.target) for item in found.unresolved} == {"bad.a", "bad.c"}
    assert {edge.origin.unique_id for edge in found.edges} == {"model.p.bad", "source.p.s.t"}


def test_a_declared_column_that_is_not_selected_is_listed() -> None:
    content = manifest({"x": "select a from s.t"}, TABLES, {"x": {"columns": {"z": {}}}})
    (item,) = column_lineage(content, "duckdb").unresolved
    assert (item.target.name, item.reason) == ("z", "the query does not select this column")


def test_a_very_deep_expression_is_listed_and_not_raised() -> None:
    deep = "(" * 3000 + "a" + ")" * 3000
    (item,) = column_lineage(
        manifest({"x": f"select {deep} from s.t"}, TABLES), "duckdb"
    ).unresolved
    assert "RecursionError" in item.reason or "recursion" in item.reason


class Runs:
    """Runs one after another with the same cache file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "cache" / "lineage.json"

    def recomputed(self, models: dict[str, str], **options: Any) -> set[str]:
        """The models that a run followed. Its result is that of a run without a cache."""
        tables = options.pop("tables", TABLES)
        dialect = options.pop("dialect", "duckdb")
        content = manifest(models, tables)
        found = column_lineage(content, dialect, cache_file=self.file, **options)
        fresh = column_lineage(content, dialect, **options)
        assert (found.columns, found.edges) == (fresh.columns, fresh.edges)
        assert found.unresolved == fresh.unresolved
        return {unique_id.rsplit(".", 1)[-1] for unique_id in found.recomputed}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_a_second_run_follows_the_changed_model_and_those_that_its_columns_reach(
    runs: Runs,
) -> None:
    assert runs.recomputed(CHAIN) == set(CHAIN)
    assert runs.recomputed(CHAIN) == set()
    # The columns stay the same, so the readers stay as they are.
    assert runs.recomputed(CHAIN | {"one": "select a, b from s.t where a > 1"}) == {"one"}
    # Other columns: the reader of `one` is followed again, but the reader of `two` is not.
    assert runs.recomputed(CHAIN | {"one": "select a, b, 1 as c from s.t"}) == {"one", "two"}


def test_another_engine_form_or_source_column_is_no_old_result(runs: Runs) -> None:
    assert runs.recomputed(CHAIN) == set(CHAIN)
    assert runs.recomputed(CHAIN, dialect="redshift") == set(CHAIN)
    assert runs.recomputed(CHAIN) == set(CHAIN)
    forms = Forms({"count": "count"}, {}, "duckdb")
    assert runs.recomputed(CHAIN, forms=forms) == set(CHAIN)
    assert runs.recomputed(CHAIN, forms=forms) == set()
    wider = {"t": ["a", "b", "c"]}
    assert runs.recomputed(CHAIN, forms=forms, tables=wider) == {"one", "other"}


def test_the_hash_of_the_code_covers_each_file_that_lineage_depends_on(tmp_path: Path) -> None:
    code = Path(lineage.__file__).parent
    names = {path.name for path in code.iterdir() if path.suffix in {".py", ".yml"}}
    assert {"query.py", "personal_data.py", "personal_data.yml"} <= names
    copied = shutil.copytree(code, tmp_path / "0", ignore=shutil.ignore_patterns("__pycache__"))
    assert code_hash(copied) == code_hash()
    hashes = {code_hash()}
    for place, name in enumerate(sorted(names), start=1):
        changed = shutil.copytree(copied, tmp_path / str(place))
        with (changed / name).open("a", encoding="utf-8") as file:
            file.write("\n")
        hashes.add(code_hash(changed))
    assert len(hashes) == len(names) + 1
    (copied / "new.py").touch()
    code_hash.cache_clear()
    assert code_hash(copied) not in hashes


@pytest.mark.parametrize("content", [b"", b"{", b'{"model.p.one": 1}', b"\x80"])
def test_a_damaged_cache_is_no_cache(runs: Runs, content: bytes) -> None:
    assert runs.recomputed(CHAIN) == set(CHAIN)
    runs.file.write_bytes(content)
    assert runs.recomputed(CHAIN) == set(CHAIN)
    assert runs.recomputed(CHAIN) == set()


def test_kinds_are_written_and_read_as_they_were(runs: Runs) -> None:
    assert runs.recomputed({"x": "select case when a = 1 then b end as v from s.t"}) == {"x"}
    found = column_lineage(
        manifest({"x": "select case when a = 1 then b end as v from s.t"}, TABLES),
        "duckdb",
        cache_file=runs.file,
    )
    assert found.recomputed == []
    assert {edge.kind for edge in found.edges} == {Kind.VALUE, Kind.CONDITION}
    assert {edge.expression for edge in found.edges} == {"CASE WHEN t.a = 1 THEN t.b END"}
