"""Column lineage of small queries, one for each form of SQL that can be misread."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlglot", reason="runs in the dbt environment")

from include.site.lineage import ROWS, ColumnLineage, column_lineage
from tests.support.small_manifest import manifest

TABLES = {"t": ["a", "b", "j"], "u": ["a", "c"], "open": []}

BOTH = ("duckdb", "redshift")


def lineage_of(sql: str, dialect: str) -> ColumnLineage:
    found = column_lineage(manifest({"x": sql}, TABLES), dialect)
    for edge in found.edges:
        assert edge.origin.name in found.columns[edge.origin.unique_id], edge
        assert edge.target.name in {*found.columns[edge.target.unique_id], ROWS}, edge
    return found


def edges_of(sql: str, dialect: str) -> dict[str, str]:
    """The edges by target as text: `t.a`, with a letter ahead if it is no value (`j:t.a`)."""
    found = lineage_of(sql, dialect)
    assert not found.unresolved, found.unresolved
    by_target: dict[str, set[str]] = {name: set() for name in found.columns["model.p.x"]}
    for edge in found.edges:
        kind = "" if edge.kind == "value" else f"{edge.kind[0]}:"
        path = f"[{edge.path}]" if edge.path else ""
        origin = f"{kind}{edge.origin.unique_id.rsplit('.', 1)[-1]}.{edge.origin.name}{path}"
        by_target.setdefault(edge.target.name, set()).add(origin)
    return {target: " ".join(sorted(origins)) for target, origins in by_target.items()}


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        # Names, stars and CTEs.
        ("select a as b, b as a from s.t", {"b": "t.a", "a": "t.b"}),
        ("select * from s.t", {"a": "t.a", "b": "t.b", "j": "t.j"}),
        ("select A, T.B from db.s.T", {"a": "t.a", "b": "t.b"}),
        ("with t as (select a as b from s.t) select b from t", {"b": "t.a"}),
        (
            "with w as (select a from s.t), w2 as (with w as (select c from s.u) select c from w) "
            "select w.a, w2.c from w cross join w2",
            {"a": "t.a", "c": "u.c"},
        ),
        ("with w as (select b from s.t) select 1 as one", {"one": ""}),
        (
            "with w as (select a as c from s.t), "
            "v as (with w as (select c from w) select c from w) select c from v",
            {"c": "t.a"},
        ),
        # A CTE decides about the rows, also if none of its columns is read.
        (
            "with w as (select a from s.t where b > 0) select count(*) as n from w",
            {"n": "", "*": "f:t.b"},
        ),
        # A column of a table is meant before an alias.
        ("select a + 1 as b, b as c from s.t", {"b": "t.a", "c": "t.b"}),
        ("select a + 1 as m, m + c as n from s.u", {"m": "u.a", "n": "u.a u.c"}),
        (
            "select a as m, count(*) as n from s.u group by m having n > 1",
            {"m": "u.a", "n": "", "*": "g:u.a"},
        ),
        ("select x.z from (select b as z from s.t) as x", {"z": "t.b"}),
        # Set operations: by position, and the right side of EXCEPT only filters.
        (
            "select a, b from s.t union all select c, a from s.u",
            {"a": "t.a u.c", "b": "t.b u.a"},
        ),
        (
            "select x.* from (select a as m, b as n from s.t union select a, c from s.u) as x",
            {"m": "t.a u.a", "n": "t.b u.c"},
        ),
        ("select a from s.t except select c from s.u", {"a": "t.a", "*": "f:u.c"}),
        ("select a from s.t intersect select c from s.u", {"a": "t.a", "*": "f:u.c"}),
        (
            "with recursive r(n, m) as (select a, b from s.t union all "
            "select m, n from r where n < 5) select n, m from r",
            {"n": "t.a t.b", "m": "t.a t.b", "*": "f:t.a f:t.b"},
        ),
        (
            "with recursive r(n, m, k) as (select a, b, j from s.t union all "
            "select m, k, n from r) select n, m, k from r",
            dict.fromkeys("nmk", "t.a t.b t.j"),
        ),
        # Joins: ON and USING.
        (
            "select t.b, u.c from s.t as t left join s.u as u on t.a = u.a",
            {"b": "t.b", "c": "u.c", "*": "j:t.a j:u.a"},
        ),
        (
            "select a, c from s.t left join s.u using (a)",
            {"a": "t.a", "c": "u.c", "*": "j:t.a j:u.a"},
        ),
        (
            "select a, c from s.t full join s.u using (a)",
            {"a": "t.a u.a", "c": "u.c", "*": "j:t.a j:u.a"},
        ),
        (
            "select coalesce(t.b, u.c) as v, a from s.t join s.u using (a)",
            {"v": "t.b u.c", "a": "t.a", "*": "j:t.a j:u.a"},
        ),
        ("select p.a from s.t as p, s.t as q where p.b = q.j", {"a": "t.a", "*": "f:t.b f:t.j"}),
        # Conditions, aggregates and windows.
        ("select case when a = 1 then b else j end as v from s.t", {"v": "c:t.a t.b t.j"}),
        ("select case a when b then 1 end as v from s.t", {"v": "c:t.a c:t.b"}),
        (
            "select a, count(*) as n, max(b) as v from s.t group by 1 having min(j) > 0",
            {"a": "t.a", "n": "", "v": "t.b", "*": "f:t.j g:t.a"},
        ),
        (
            "select sum(a) over (partition by b order by j) as v from s.t",
            {"v": "t.a w:t.b w:t.j"},
        ),
        ("select row_number() over (order by a) as v from s.t", {"v": "w:t.a"}),
        (
            "select case when row_number() over (order by a) = 1 then b end as v from s.t",
            {"v": "t.b w:t.a"},
        ),
        (
            "select a, b from s.t qualify row_number() over (partition by a order by j) = 1",
            {"a": "t.a", "b": "t.b", "*": "f:t.a f:t.j"},
        ),
        ("select a from s.t order by b limit 5", {"a": "t.a", "*": "f:t.b"}),
        ("select a from s.t order by b", {"a": "t.a"}),
        # Subqueries.
        (
            "select (select max(c) from s.u where u.a = t.a) as v from s.t",
            {"v": "u.c", "*": "f:t.a f:u.a"},
        ),
        (
            "select b from s.t where exists (select 1 from s.u where u.a = t.a)",
            {"b": "t.b", "*": "f:t.a f:u.a"},
        ),
        (
            "select exists (select 1 from s.u where u.a = t.a) as v from s.t",
            {"v": "c:t.a c:u.a", "*": "f:t.a f:u.a"},
        ),
        ("select b from s.t where a in (select c from s.u)", {"b": "t.b", "*": "f:t.a f:u.c"}),
        # A whole row as one value.
        ("select t from s.t", {"t": "t.a t.b t.j"}),
        ("select r as v from s.t as r", {"v": "t.a t.b t.j"}),
        ("select md5(t::varchar) as v from s.t", {"v": "t.a t.b t.j"}),
        ("select row_to_json(t) as v from s.t", {"v": "t.a t.b t.j"}),
        ("select to_json(r) as v, c from s.t as r, s.u", {"v": "t.a t.b t.j", "c": "u.c"}),
        ("with w as (select b as z, j from s.t) select w::varchar as v from w", {"v": "t.b t.j"}),
        ("with w as (select t as v from s.t) select v from w", {"v": "t.a t.b t.j"}),
        ("select to_json(q) as v from (select a, 1 as one from s.t) as q", {"v": "t.a"}),
        (
            "select to_json(q) as v from (select a from s.t union all select c from s.u) as q",
            {"v": "t.a u.c"},
        ),
        ("select (t).b as v from s.t", {"v": "t.b"}),
        ("with w as (select t as r from s.t) select w.r.b as v from w", {"v": "t.b"}),
        ("select a from s.u as t where t is not null", {"a": "u.a", "*": "f:u.a f:u.c"}),
        (
            "select (select max(c || u::varchar || t::varchar) from s.u) as v from s.t",
            {"v": "t.a t.b t.j u.a u.c"},
        ),
        (
            "select listagg(t::varchar, ',') within group (order by b) as v from s.t",
            {"v": "t.a t.b t.j w:t.b"},
        ),
        ("select b as t, t::varchar as v from s.t", {"t": "t.b", "v": "t.a t.b t.j"}),
        ("select t from (select a as t, b from s.t) as t", {"t": "t.a"}),
        ("select count(t.*) as v from s.t", {"v": ""}),
        ("select a, o.b from s.open as o", {"a": "open.a", "b": "open.b"}),
        # Values and names that look like something else.
        ('select a as "select", \'b\' as "from" from s.t', {"select": "t.a", "from": ""}),
        ('select a as "x\'y" from s.t -- , b as c', {"x'y": "t.a"}),
    ],
)
def test_on_both_engines(dialect: str, sql: str, expected: dict[str, str]) -> None:
    assert edges_of(sql, dialect) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select j->'k'->>'l' as v from s.t", {"v": "t.j[k.l]"}),
        ("select json_extract_string(j, '$.k[2].l') as v from s.t", {"v": "t.j[k[2].l]"}),
        ("select json_extract_string(j, b) as v from s.t", {"v": "c:t.b t.j[[*]]"}),
        (
            "with w as (select json_extract_string(j, ['$.k', '$.\"l m\"']) as v from s.t) "
            "select v[2] as x, v[1] as y from w",
            {"x": "t.j[l m]", "y": "t.j[k]"},
        ),
        ("with w as (select [a, b] as v from s.t) select v[2] as x from w", {"x": "t.b"}),
        ("select [a, b][j] as v from s.t", {"v": "c:t.j t.a t.b"}),
        ("with w as (select {'k': a, 'l': b} as v from s.t) select v.l as x from w", {"x": "t.b"}),
        ("select struct_extract(j, 'k') as v from s.t", {"v": "t.j[k]"}),
        (
            "select e.key, e.value from s.t, json_each(t.j) as e",
            {"key": "t.j[[*]]", "value": "t.j[[*]]"},
        ),
        (
            "select e.v from s.t, lateral (select f.value as v from json_each(t.j) as f) as e",
            {"v": "t.j[[*]]"},
        ),
        ("select x.v from s.t, unnest([t.a, t.b]) as x(v)", {"v": "t.a t.b"}),
        ("select n from range(5) as r(n)", {"n": ""}),
        ("select v.y from (values (1, 2)) as v(x, y)", {"y": ""}),
        ("select sum(a) filter (where b > 0) as v from s.t", {"v": "c:t.b t.a"}),
        ("select arg_max(a, b) as v from s.t", {"v": "c:t.b t.a"}),
        ("select string_agg(a, ',' order by b) as v from s.t", {"v": "t.a w:t.b"}),
        ("select a, sum(b) as v from s.t group by all", {"a": "t.a", "v": "t.b", "*": "g:t.a"}),
        (
            "select a, j from s.t union all by name select c as j, a from s.u",
            {"a": "t.a u.a", "j": "t.j u.c"},
        ),
        ("select unnest(t) as v from s.t", {"v": "t.a t.b t.j"}),
        ("select {'k': t, 'l': b} as v from s.t", {"v": "t.a t.b t.j"}),
        ("with w as (select {'k': t} as v from s.t) select v.k.b as x from w", {"x": "t.b"}),
        ("with w as (select {'K': a} as v from s.t) select v.k as x from w", {"x": "t.a"}),
        ("select e.value as v from s.t, json_each(to_json(t)) as e", {"v": "t.a t.b t.j"}),
        ("select e::varchar as v from s.t, unnest([a, b]) as e(x)", {"v": "t.a t.b"}),
        ("select to_json(t) as v from s.t, json_each(t.j) as e", {"v": "t.a t.b t.j"}),
        ("select * exclude (b) from s.t", {"a": "t.a", "j": "t.j"}),
        ("from s.t select a", {"a": "t.a"}),
        ("select distinct on (b) a from s.t", {"a": "t.a", "*": "g:t.b"}),
    ],
)
def test_on_duckdb(sql: str, expected: dict[str, str]) -> None:
    assert edges_of(sql, "duckdb") == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select json_extract_path_text(j, 'k', 'l', true) as v from s.t", {"v": "t.j[k.l]"}),
        (
            "select json_extract_path_text('{\"text\":' || j || '}', 'text', 'k') as v from s.t",
            {"v": "t.j[k]"},
        ),
        (
            "select json_extract_path_text('{\"other\":' || j || '}', 'text', 'k') as v from s.t",
            {"v": "t.j"},
        ),
        ("select json_extract_array_element_text(j, 1) as v from s.t", {"v": "t.j[[1]]"}),
        ("select t.j.k.l, t.j[0].m from s.t as t", {"l": "t.j[k.l]", "m": "t.j[[0].m]"}),
        ("select i.k from s.t as t, t.j as i", {"k": "t.j[[*].k]"}),
        ("select json_parse(j).k as v from s.t", {"v": "t.j[k]"}),
        (
            "select listagg(a, ',') within group (order by b) as v from s.t",
            {"v": "t.a w:t.b"},
        ),
        ("select percentile_cont(0.5) within group (order by b) as v from s.t", {"v": "t.b"}),
        ("select nvl(a, b) as v from s.t", {"v": "t.a t.b"}),
    ],
)
def test_on_redshift(sql: str, expected: dict[str, str]) -> None:
    assert edges_of(sql, "redshift") == expected


@pytest.mark.parametrize(
    ("sql", "column", "reason"),
    [
        ("select a, z from s.t", "z", "no table has the column z"),
        ("select t.z from s.t", "z", "source.p.s.t has no column z"),
        ("select v.z from (select a from s.t) as v", "z", "a subquery has no column z"),
        ("select n.z from other.n", "z", "the manifest has no table"),
        ("select a from 'x.parquet'", "a", "the manifest has no table"),
        ("select a from read_parquet('x')", "a", "come from elsewhere"),
        ("select columns('a|b') from s.t", "_col_0", "are not known"),
        ("select p.j from s.t pivot (sum(b) for a in (1, 2)) as p", "j", "PIVOT"),
        (
            "select e.v from s.t, lateral (select value as v from json_each(t.j)) as e",
            *("*", "Cannot resolve 'value'"),
        ),
        ("select a from s.t where z > 1", "*", "no table has the column z"),
        # Columns that only the database can name.
        ("select to_json(o) as v from s.open as o", "v", "can be a column or a whole row"),
        ("select to_json(o) as v, 1 as o from s.open as o", "v", "can be a column or a whole row"),
        ("select (o).b as v from s.open as o", "v", "can be a column or a whole row"),
        ("select to_json(t) as v from s.t, s.open", "v", "can be a column or a whole row"),
        (
            "with w as (select * from s.open) select to_json(w) as v from w",
            *("v", "can be a column or a whole row"),
        ),
        ("select to_json(n) as v from other.n", "v", "can be a column or a whole row"),
        ("select to_json(struct_pack(*)) as v from s.t", "v", "are not known"),
        (
            "with w as (select struct_pack(*) as r from s.t) select r.a as v from w",
            "v",
            "not known",
        ),
        ("select hash(*) as v from s.t", "v", "are not known"),
        ("select hash(t.*) as v from s.t", "v", "are not known"),
        ("select count(columns(*)) as v from s.t", "v", "are not known"),
        ("select coalesce(*columns(*)) as v from s.t", "v", "are not known"),
        ("select #1 as v from s.t", "v", "are not known"),
        ("select a from s.t union all select a from s.u where (", "*", ""),
        ("insert into s.t select 1", "*", "is no query"),
        ("", "*", "has no compiled SQL"),
    ],
)
def test_what_does_not_resolve_is_listed_with_its_reason(
    sql: str, column: str, reason: str
) -> None:
    found = lineage_of(sql, "duckdb").unresolved
    assert [item.target.name for item in found] == [column]
    assert reason in found[0].reason
