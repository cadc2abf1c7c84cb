"""SQL gives the results of Redshift on the stand-in, or is refused as Redshift refuses it."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.redshift_standin.conftest import Connect, Sql

VALUES: list[tuple[str, Any]] = [
    ("7 / 2", 3),
    ("cast(7 as bigint) / 2", 3),
    ("cast(1 as decimal(8,2)) / cast(3 as decimal(8,2))", Decimal("0.333333333")),
    ("cast(10 as decimal(28,8)) / cast(3 as decimal(28,8))", Decimal("3.3333333333")),
    ("cast('äöü' as varchar(3))", "ä"),
    ("cast('ab  ' as varchar(2))", "ab"),
    (r"'a\\s\'b'", r"a\s'b"),
    (r"regexp_replace('a1b22', '\\d+', '-')", "a-b-"),
    ("regexp_replace('aXbX', 'X')", "ab"),
    ("regexp_substr('abc', 'x')", ""),
    ("'abc' ~ '^[a-c]+$'", True),
    ("is_valid_json('{\"a\": 1}')", True),
    ("is_valid_json('[1]')", False),
    ("is_valid_json('1')", False),
    ("is_valid_json('{1:\"a\"}')", False),
    ("is_valid_json_array('[1]')", True),
    ("json_extract_path_text('{\"a\": {\"b\": \"x\"}}', 'a', 'b')", "x"),
    ("json_extract_path_text('{\"a\": 1}', 'b')", None),
    ("json_extract_path_text('nonsense', 'b', true)", None),
    ("to_date('2026-02-30', 'YYYY-MM-DD')", date(2026, 3, 2)),
    ("to_date('2026-02-28', 'YYYY-MM-DD', true)", date(2026, 2, 28)),
    ("dateadd(day, 1, date '2026-01-31')", datetime(2026, 2, 1)),  # noqa: DTZ001
    ("dateadd(month, 1, date '2026-01-31')", datetime(2026, 2, 28)),  # noqa: DTZ001
    ("datediff(day, timestamp '2026-01-01 23:59:59', timestamp '2026-01-02 00:00:00')", 1),
    ("datediff(hour, timestamp '2026-01-01 23:00:00', timestamp '2026-01-02 00:59:00')", 1),
    ("len('äb')", 2),
    ("octet_length('äb')", 3),
    ("nvl(null, 2)", 2),
    ("decode(2, 1, 'one', 2, 'two', 'many')", "two"),
    ("split_part('a/b/c', '/', 2)", "b"),
    ("strtol('ff', 16)", 255),
    ("md5('a')", "0cc175b9c0f1b6a831c399e269772661"),
    ("trim('  a ')", "a"),
    ("concat('a', null)", None),
    ("date '2026-01-02' - date '2026-01-01'", 1),
    ("last_day(date '2026-02-01')", date(2026, 2, 28)),
    ("greatest(1, null, 3)", 3),
    ("cast(getdate() as date) = current_date", True),
]


@pytest.mark.parametrize(("expression", "value"), VALUES)
def test_expression_has_redshifts_value(sql: Sql, expression: str, value: object) -> None:
    assert sql.value(f"select {expression}") == value


def test_aggregates_have_redshifts_results(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t (a int, b bigint, d decimal(18,2), v varchar(10), g int)")
    sql(
        f"insert into {schema}.t values (1, 1, 1.00, 'x', 1), (2, 2, 2.00, 'y', 1), (2, 2, "
        f"2.00, 'y', 2)"
    )
    (row,) = sql(
        "select avg(a), avg(b), avg(d), median(a), listagg(v, ',') within group (order by v), "
        "listagg(distinct v, ',') within group (order by v), approximate count(distinct v), "
        f"percentile_cont(0.5) within group (order by a), sum(d) from {schema}.t"
    )
    assert row == [1, 1, Decimal("1.66"), 2, "x,y,y", "x,y", 2, 2, Decimal("5.00")]
    assert sql(
        "select g, avg(a) over (partition by g), ratio_to_report(a) over (partition by g), "
        "sum(a) over (partition by g order by a rows unbounded preceding) "
        f"from {schema}.t order by g, a"
    ) == [[1, 1, pytest.approx(1 / 3), 1], [1, 1, pytest.approx(2 / 3), 3], [2, 2, 1.0, 2]]


def test_create_table_as_has_redshifts_number_types(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t (a decimal(18,4), b decimal(18,4), n bigint)")
    sql(f"insert into {schema}.t values (1, 3, 4)")
    sql(
        f"create table {schema}.made as with t as (select * from {schema}.t) select a / b "
        f"as divided, a * b as multiplied, "
        "sum(a) as summed, sum(n) as counted, a + b as added, case when n > 1 then a end "
        "as chosen from t group by a, b, n"
    )
    types = dict(
        sql(
            f"select \"column\", type from pg_table_def where schemaname = '{schema}' and "
            f"tablename = 'made'"
        )
    )
    assert types == {
        "divided": "numeric(37,19)",
        "multiplied": "numeric(37,8)",
        "summed": "numeric(38,4)",
        "counted": "numeric(38,0)",
        "added": "numeric(19,4)",
        "chosen": "numeric(18,4)",
    }
    assert sql.value(f"select divided from {schema}.made") == Decimal("0.3333333333333333333")


def test_a_decimal_of_more_than_38_digits_overflows(sql: Sql) -> None:
    error = sql.error(
        "select cast('99999999999999999999' as decimal(38,0)) * "
        "cast('99999999999999999999' as decimal(38,0))"
    )
    assert error.startswith("22003 ")
    assert "overflow" in error


def test_varchar_counts_bytes(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t (v varchar(3), w varchar)")
    sql(f"insert into {schema}.t (v) values ('äb')")
    too_long = "22001 value too long for type character varying(3)"
    assert sql.error(f"insert into {schema}.t (v) values ('ää')") == too_long
    assert sql.error(f"insert into {schema}.t (w) values (repeat('x', 257))") == (
        "22001 value too long for type character varying(256)"
    )
    sql(f"insert into {schema}.t (v) values (cast('ää' as varchar(3)))")
    assert sql(f"select v from {schema}.t order by v") == [["ä"], ["äb"]]
    sql(f"create table {schema}.made as select 'text' as t")
    assert sql.value(
        f"select type from pg_table_def where schemaname = '{schema}' and tablename = 'made'"
    ) == ("character varying(65535)")


REFUSED = [
    ("select string_agg('a', ',')", "42883 function string_agg() does not exist"),
    ("select jsonb_build_object('a', 1)", "42883"),
    ("select '{}'::jsonb", '42704 type "jsonb" does not exist'),
    ("select '{}'::json ->> 'a'", "42704"),
    ("select cast(1 as uuid)", "42704"),
    ("select distinct on (a) a from (select 1 as a)", "0A000"),
    ("select sum(1) filter (where true)", "42601"),
    ("select * from (values (1)) as t (a)", "42601"),
    ("select * from (select 1) a, lateral (select 2) b", "42601"),
    ("select 1 fetch first 1 row only", "42601"),
    ("select * from (select 1 as a) for update", "0A000"),
    (
        "select sum(a) over (order by a) from (select 1 as a)",
        "0A000 Aggregate window functions with an ORDER BY clause require a frame clause",
    ),
    ("select first_value(a) over (order by a) from (select 1 as a)", "0A000 Aggregate"),
    (
        "select sum(a) over (order by a range unbounded preceding) from (select 1 as a)",
        "0A000 window function with RANGE frame",
    ),
    ("select 'a' ~ '(?=b)'", "XX000 Invalid preceding regular expression"),
    ("select cast(1 as decimal(39,0))", "42611"),
    ('select tag from (select 1 as "tag")', '42601 syntax error at or near "tag"'),
    ("create index i on t (a)", "0A000"),
    ("create table t (a int check (a > 0))", "0A000 CHECK constraints are not supported"),
    ("create table t (a serial)", '42704 type "serial" does not exist'),
    ("create table t (a text[])", "42704"),
    ("create table t (a int) partition by list (a)", "42601"),
    ("create sequence s", '42601 syntax error at or near "create"'),
    ("create extension hstore", "42601"),
    ("do $$ begin end $$", '42601 syntax error at or near "do"'),
    ("listen x", "42601"),
    ("savepoint a", "0A000"),
    ("create user u password 'weak'", "42601 The password must be"),
]


@pytest.mark.parametrize(("statement", "error"), REFUSED)
def test_statement_is_refused(sql: Sql, statement: str, error: str) -> None:
    assert sql.error(statement).startswith(error)


def test_statement_on_a_table_is_refused(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t (a int, b int)")
    assert sql.error(f"insert into {schema}.t values (1, 1) returning a").startswith("42601")
    assert sql.error(f"insert into {schema}.t values (1, 1) on conflict do nothing").startswith(
        "42601"
    )
    assert sql.error(f"select array_agg(a) from {schema}.t").startswith(
        "0A000 Specified types or functions (one per INFO message) not supported on "
        "Redshift tables."
    )
    assert sql.error(
        f"select * from {schema}.t where not exists (select 1 from {schema}.t as u where "
        f"not exists "
        f"(select 1 from {schema}.t as w where w.a = t.a))"
    ).startswith("0A000 This type of correlated subquery pattern is not supported")
    assert sql.error(f"create table {schema}.u distkey(nothing) as select 1 as a").startswith(
        "42703"
    )


def test_keys_are_listed_and_not_enforced(sql: Sql, schema: str) -> None:
    sql(
        f"create table {schema}.t (id bigint identity(1,1), a int primary key encode az64 distkey, "
        "v varchar(20) encode lzo sortkey, unique (v))"
    )
    sql(f"insert into {schema}.t (a, v) values (1, 'x'), (1, 'x')")
    assert sql.value(f"select count(*) from {schema}.t") == 2
    assert sql(
        'select "column", encoding, distkey, sortkey from pg_table_def '
        f"where schemaname = '{schema}' order by 1"
    ) == [["a", "az64", True, 0], ["id", "none", False, 0], ["v", "lzo", False, 1]]
    assert (
        sql.value(f"select diststyle from svv_table_info where \"schema\" = '{schema}'") == "KEY(a)"
    )


def test_the_sizes_of_tables_need_a_grant(sql: Sql, connect: Connect) -> None:
    sql("create user sizes_reader password 'Sizes-of-tables-1'")
    try:
        reader = connect("sizes_reader", "Sizes-of-tables-1")
        query = "select count(*) from svv_table_info"
        assert "permission denied" in reader.error(query)
        sql("grant select on svv_table_info to sizes_reader")
        assert reader.value(query) >= 0
    finally:
        sql("revoke select on svv_table_info from sizes_reader")
        sql("drop user sizes_reader")


def test_a_late_binding_view_follows_its_tables(sql: Sql, schema: str) -> None:
    sql(f"create view {schema}.v as select a from {schema}.t with no schema binding")
    assert "does not exist" in sql.error(f"select * from {schema}.v")
    sql(f"create table {schema}.t as select 1 as a")
    sql(
        f"create view {schema}.w as with x as (select a from {schema}.v) select a as b from "
        f"x with no schema binding"
    )
    assert sql.value(f"select b from {schema}.w where b > 0") == 1
    sql(f"drop table {schema}.t")
    assert sql.error(f"select b from {schema}.w") == f'42P01 relation "{schema}.t" does not exist'
    sql(f"create table {schema}.t as select 2 as a")
    assert sql.value(f"select w.b from {schema}.w") == 2
    sql(f"alter table {schema}.w rename to renamed")
    assert sql.value(f"select b from {schema}.renamed as other") == 2
    assert sql.error(
        f"create view {schema}.u as select a from t with no schema binding"
    ).startswith("42601 All the relation names inside should be qualified")
    assert sql(
        "select view_name, col_name from pg_get_late_binding_view_cols() "
        "cols(view_schema name, view_name name, col_name name, col_type varchar, col_num int) "
        f"where view_schema = '{schema}'"
    ) == [["renamed", "b"]]


def test_a_table_with_a_bound_view_is_dropped_only_with_cascade(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t as select 1 as a")
    sql(f"create view {schema}.v as select a from {schema}.t")
    assert sql.error(f"drop table {schema}.t").startswith("2BP01")
    sql(f"drop table {schema}.t cascade")
    assert "does not exist" in sql.error(f"select * from {schema}.v")


def test_privileges_are_checked(sql: Sql, connect: Connect, schema: str) -> None:
    sql(f"create table {schema}.t as select 1 as a")
    sql(f"create view {schema}.v as select a from {schema}.t with no schema binding")
    sql("create user reader password 'Passw0rd'")
    sql("create group readers with user reader")
    sql("create role viewers")
    try:
        reader = connect("reader", "Passw0rd")
        assert (
            reader.error(f"select * from {schema}.t")
            == f"42501 permission denied for schema {schema}"
        )
        sql(f"grant usage on schema {schema} to group readers")
        assert reader.error(f"select * from {schema}.t") == "42501 permission denied for relation t"
        assert reader.error(f"select * from {schema}.v") == "42501 permission denied for relation v"
        sql(f"grant select on table {schema}.t to group readers")
        sql(f"grant select on {schema}.v to role viewers")
        sql("grant role viewers to reader")
        assert reader.value(f"select a from {schema}.v") == 1
        assert reader.error(f"insert into {schema}.t values (2)").startswith("42501")
        assert sql(
            "select relation_name, privilege_type, identity_name, identity_type from "
            "svv_relation_privileges "
            f"where namespace_name = '{schema}' order by 1"
        ) == [["t", "SELECT", "readers", "group"], ["v", "SELECT", "viewers", "role"]]
        sql(f"alter default privileges in schema {schema} grant select on tables to group readers")
        sql(f"create table {schema}.later as select 3 as a")
        assert reader.value(f"select a from {schema}.later") == 3
        assert reader.error("create user other password 'Passw0rd1'").startswith("42501")
        # A user who is not a superuser sees no statement of another user in the log view.
        assert (
            reader.value("select count(*) from sys_query_history where username = 'awsuser'") == 0
        )
    finally:
        sql(f"drop schema {schema} cascade")
        sql(f"create schema {schema}")
        sql("drop user reader")
        sql("drop group readers")
        sql("drop role viewers")
