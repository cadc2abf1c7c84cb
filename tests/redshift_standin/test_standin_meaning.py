"""Combinations of the stand-in's rewritings give the results of Redshift.

The documented statements in `conformance/` test each rewriting alone.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.redshift_standin.conftest import Connect, Sql

VALUES: list[tuple[str, Any]] = [
    ("cast(2.5 as int)", 3),
    ("cast(-(1.005 + 0) as decimal(8,2))", Decimal("-1.01")),
    ("cast(cast(1.239 as double precision) as decimal(8,2))", Decimal("1.24")),
    ("cast(cast('1.239' as varchar) as decimal(8,2))", Decimal("1.24")),
    ("sha1('')", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    ("sha1(repeat('a', 55))", "c1c8bbdc22796e28c0e15163d20899b65621d65a"),
    ("sha1(repeat('a', 56))", "c2db330f6083854c99d4b5bfb6e8f29f201be699"),
    ("sha1(repeat('a', 64))", "0098ba824b5c16427bd7a1122a5a442a25ec644d"),
    ("regexp_replace('aaaa', 'a', '-', 3)", "aa--"),
    ("dateadd(year, -1, date '2016-02-29') = date '2015-03-01'", True),
    ("dateadd(year, 4, date '2016-02-29') = date '2020-02-29'", True),
    ("try_cast('1.5x' as decimal(8,2))", None),
    ("try_cast('1.5' as decimal(8,2))", Decimal("1.50")),
    ("try_cast('2026-02-30' as date)", None),
    ("date_part(dow, date '2026-11-29')", 0),
    ("extract(second from timestamp '2026-11-29 12:34:56.9')", 56),
    ("'a ' in ('a')", True),
    ("' a' = 'a'", False),
    ("'a ' like 'a'", False),
    ("nullif('  ', '')", None),
]


@pytest.mark.parametrize(("expression", "value"), VALUES)
def test_expression_has_redshifts_value_and_type(sql: Sql, expression: str, value: Any) -> None:
    found = sql.value(f"select {expression}")
    assert found == value
    assert type(found) is type(value)


def test_cast_of_a_computed_value_cuts_digits(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t (a decimal(8,4), b bigint)")
    sql(f"insert into {schema}.t values (1.9999, 2), (1.9999, 3)")
    query = f"select cast(sum(a) as decimal(8,2)), cast(avg(a) as int) from {schema}.t"
    assert sql(query) == [[Decimal("3.99"), 1]]
    assert sql(f"select cast(b * 1.999 as bigint) from {schema}.t order by b") == [[3], [5]]
    sql("set enable_numeric_rounding to on")
    assert sql(query) == [[Decimal("4.00"), 2]]
    sql("reset enable_numeric_rounding")
    assert sql(query) == [[Decimal("3.99"), 1]]
    sql(f"create table {schema}.narrow (a decimal(8,2), b int)")
    sql(f"insert into {schema}.narrow select a, a from {schema}.t limit 1")
    sql(f"update {schema}.narrow set a = a + 0.995")
    assert sql(f"select a, b from {schema}.narrow") == [[Decimal("3.00"), 2]]


def test_nested_unions_keep_precision_and_scale(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t (a decimal(7,2), b decimal(15,3), n int)")
    sql(f"insert into {schema}.t values (1.25, 2.125, 3)")
    sql(
        f"create table {schema}.made as select a as x, n from {schema}.t union all "
        f"select b, 2 from {schema}.t union all select n, 1 from {schema}.t"
    )
    sql(f"create table {schema}.starred as select * from {schema}.t union select * from {schema}.t")
    assert sql(
        'select tablename, "column", type from pg_table_def '
        f"where schemaname = '{schema}' and tablename <> 't' and type like 'num%' order by 1, 2"
    ) == [
        ["made", "x", "numeric(15,3)"],
        ["starred", "a", "numeric(7,2)"],
        ["starred", "b", "numeric(15,3)"],
    ]
    assert sql(f"select x, n from {schema}.made order by x") == [
        [Decimal("1.250"), 3],
        [Decimal("2.125"), 2],
        [Decimal("3.000"), 1],
    ]


def test_a_column_has_precedence_over_an_alias(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t (a int, b int)")
    sql(f"insert into {schema}.t values (1, 10)")
    for source in (f"{schema}.t", f"(select a, b from {schema}.t) as t"):
        assert sql(f"select b as a, a + 1 as c, c * 2 as d, d from {source}") == [[10, 2, 4, 4]]
    assert sql(f"select u.a as x, x + 1 as y from (select * from {schema}.t) as u") == [[1, 2]]
    named = f"with c (p) as (select a from {schema}.t)"
    assert sql(f"{named} select p as x, x + 1 as y from c") == [[1, 2]]
    assert sql(f"{named} select p + 1 as a, a as p, p as q from c") == [[2, 2, 1]]
    assert "42703" in sql.error(f"select a as x from {schema}.t where x = 1")


def test_joins_and_groups_ignore_trailing_blanks(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t (a varchar(5))")
    sql(f"insert into {schema}.t values ('a'), ('a '), ('b')")
    assert sql.value(f"select count(distinct a) from {schema}.t") == 2
    assert sql.value(f"select count(*) from {schema}.t as t join {schema}.t as u using (a)") == 5
    assert (
        sql(f"select len(min(a)), count(*) from {schema}.t group by a order by 2 desc")[0][1] == 2
    )


def test_a_view_reads_with_its_owners_rights_and_grants_no_other(
    sql: Sql, connect: Connect, schema: str
) -> None:
    sql(f"create table {schema}.t (a int, b varchar(5), c decimal(8,2))")
    sql(f"insert into {schema}.t values (1, 'x', 1.5), (2, 'y', 2.5)")
    sql(
        f"create view {schema}.v as select t.a, u.b, t.c / 2 as half from {schema}.t as t "
        f"inner join {schema}.t as u on t.a = u.a with no schema binding"
    )
    sql(f"create view {schema}.above as select a, half from {schema}.v with no schema binding")
    sql("create user guest password 'Passw0rd'")
    try:
        sql(f"grant usage on schema {schema} to guest")
        sql(f"grant select on {schema}.above to guest")
        guest = connect("guest", "Passw0rd")
        assert guest(f"select a, half from {schema}.above where a > 1") == [[2, Decimal("1.25")]]
        assert guest.error(f"select a from {schema}.v").startswith("42501")
        assert guest.error(f"select a from {schema}.t").startswith("42501")
        assert guest.error(
            f"select v.a from {schema}.above as v inner join {schema}.t as t on t.a = v.a"
        ).startswith("42501")
    finally:
        sql(f"drop schema {schema} cascade")
        sql(f"create schema {schema}")
        sql("drop user guest")


def test_truncate_commits_its_transaction(sql: Sql, connect: Connect, schema: str) -> None:
    sql(f"create table {schema}.t (a int)")
    sql("begin")
    sql(f"insert into {schema}.t values (1)")
    sql(f"truncate table {schema}.t")
    assert connect().value(f"select count(*) from {schema}.t") == 0
    sql(f"insert into {schema}.t values (2)")
    sql("rollback")
    assert sql.value(f"select count(*) from {schema}.t") == 1


def test_long_names_with_a_common_start_stay_distinct(sql: Sql, schema: str) -> None:
    one, other = "x" * 100 + "1", "x" * 100 + "2"
    sql(f"create table {schema}.{one} ({one} int, {other} int)")
    sql(f"insert into {schema}.{one} ({other}, {one}) values (2, 1)")
    assert sql(f"select {one}, t.{other} from {schema}.{one} as t") == [[1, 2]]
    assert sql.error(f"select 1 from {schema}.{other}").startswith("42P01")


def test_types_with_names_of_two_words_are_accepted(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t (a double precision)")
    sql(f'alter table {schema}.t add column "b" character varying(64)')
    assert sql(
        f"select \"column\", type from pg_table_def where schemaname = '{schema}' order by 1"
    ) == [["a", "double precision"], ["b", "character varying(64)"]]
