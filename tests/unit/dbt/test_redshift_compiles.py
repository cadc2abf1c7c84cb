"""The whole project compiles for Redshift without a warehouse, and parsers accept its SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

pytest.importorskip("sqlfluff", reason="runs in the dbt environment")
pytest.importorskip("sqlglot", reason="runs in the dbt environment")

import sqlglot
from sqlfluff.core import FluffConfig, Linter
from sqlglot import exp
from sqlglot.lineage import Node as LineageNode
from sqlglot.lineage import lineage
from sqlglot.optimizer.qualify import qualify

from tests.support.compiled_project import compiled_manifest

Partitions = Mapping[str, str]
"""Maps a relation's columns to the partition columns of the external table that they hold."""

FRACTIONAL_TYPES = {exp.DataType.Type.DOUBLE, exp.DataType.Type.DECIMAL, exp.DataType.Type.FLOAT}
WINDOW_AGGREGATES = (exp.AggFunc, exp.FirstValue, exp.LastValue)
FUNCTIONS_WITHOUT_FRAME = (exp.RowNumber, exp.Rank, exp.DenseRank, exp.Lag, exp.Lead, exp.Ntile)


class Query(NamedTuple):
    """A compiled node: its materialization (view, table, …), its relation's name and its SQL."""

    kind: str
    relation: str
    sql: str


class Project(NamedTuple):
    """All compiled queries by their id in dbt, and the partition columns of each external table."""

    queries: Mapping[str, Query]
    external: Mapping[str, Partitions]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    manifest = compiled_manifest("redshift", tmp_path_factory.mktemp("redshift"))
    return Project(
        {
            unique_id: Query(
                node["config"]["materialized"],
                f"{node['schema']}.{node['name']}",
                node.get("compiled_code") or "",
            )
            for unique_id, node in manifest["nodes"].items()
            if node["resource_type"] in {"model", "test", "snapshot"}
        },
        {
            f"{source['schema']}.{source['name']}": {
                name: name for name in source["config"]["meta"]["partition_columns"]
            }
            for source in manifest["sources"].values()
        },
    )


def test_every_model_test_and_snapshot_compiles(project: Project) -> None:
    kinds = {query.kind for query in project.queries.values()}
    assert kinds == {"view", "table", "incremental", "snapshot", "test"}
    assert [name for name, query in project.queries.items() if not query.sql.strip()] == []


def test_sqlfluff_parses_all_of_it_as_redshift(project: Project) -> None:
    linter = Linter(
        config=FluffConfig(
            overrides={"dialect": "redshift", "templater": "raw", "max_parse_depth": 0}
        )
    )
    unparsable = [
        f"{name}: {violation}"
        for name, query in project.queries.items()
        for violation in linter.parse_string(query.sql).violations
    ]
    assert not unparsable, "\n".join(unparsable)


def _is_fractional(node: exp.Expr) -> bool:
    """Return whether the text of an operand alone shows that it is not a whole number."""
    node = node.unnest()
    if isinstance(node, exp.Nullif | exp.Round | exp.Abs):
        return _is_fractional(node.this)
    if isinstance(node, exp.Cast):
        return node.to.this in FRACTIONAL_TYPES
    return isinstance(node, exp.Literal) and not node.is_string and "." in node.name


def aggregates_ordered_without_frame(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Redshift refuses an aggregate over an ordered window that has no frame clause."""
    for window in tree.find_all(exp.Window):
        function = window.this.this if isinstance(window.this, exp.IgnoreNulls) else window.this
        if (
            isinstance(function, WINDOW_AGGREGATES)
            and not isinstance(function, FUNCTIONS_WITHOUT_FRAME)
            and window.args.get("order")
            and not window.args.get("spec")
        ):
            yield window


def averages_of_whole_numbers(tree: exp.Expr) -> Iterator[exp.Expr]:
    """On Redshift avg() of integers is an integer, so its argument must be cast."""
    return (average for average in tree.find_all(exp.Avg) if not _is_fractional(average.this))


def divisions_of_whole_numbers(tree: exp.Expr) -> Iterator[exp.Expr]:
    """7 / 2 is 3 on Redshift and 3.5 on DuckDB, so one operand must be cast."""
    for division in tree.find_all(exp.Div, exp.IntDiv):
        if not _is_fractional(division.left) and not _is_fractional(division.right):
            yield division


def syntax_that_redshift_does_not_have(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Redshift has no DISTINCT ON, FILTER, LATERAL or UNNEST, and no QUALIFY with `select *`."""
    yield from tree.find_all(exp.Filter, exp.Lateral, exp.Unnest)
    yield from (found for found in tree.find_all(exp.Distinct) if found.args.get("on"))
    yield from (
        qualify
        for qualify in tree.find_all(exp.Qualify)
        if isinstance(qualify.parent, exp.Select) and qualify.parent.is_star
    )


RULES: tuple[Callable[[exp.Expr], Iterator[exp.Expr]], ...] = (
    aggregates_ordered_without_frame,
    averages_of_whole_numbers,
    divisions_of_whole_numbers,
    syntax_that_redshift_does_not_have,
)


OF_DOUBLES = {
    "model.game_analytics.int_experiment_metrics",
    "model.game_analytics.rpt_experiments",
}
"""The queries of statistics: each quotient has a column of type double, which its text does not
show. `tests/redshift/test_parity.py` and `test_statistics_on_redshift.py` compare the values.
"""


@pytest.mark.parametrize("rule", RULES)
def test_no_query_breaks_a_rule_of_redshift(
    project: Project, rule: Callable[[exp.Expr], Iterator[exp.Expr]]
) -> None:
    broken = [
        f"{name}: {found.sql('redshift')}"
        for name, query in project.queries.items()
        if rule is not divisions_of_whole_numbers or name not in OF_DOUBLES
        for found in rule(_tree(query.sql))
    ]
    assert set(project.queries) >= OF_DOUBLES
    assert not broken, f"{rule.__doc__}\n" + "\n".join(broken)


@pytest.mark.parametrize(
    ("rule", "refused", "accepted"),
    [
        (
            aggregates_ordered_without_frame,
            ["sum(a) over (order by b)", "last_value(a) over (partition by c order by b)"],
            [
                "sum(a) over (order by b rows unbounded preceding)",
                "sum(a) over (partition by b)",
                "row_number() over (order by b)",
                "lag(a) over (order by b)",
            ],
        ),
        (averages_of_whole_numbers, ["avg(a)"], ["avg(cast(a as double precision))"]),
        (
            divisions_of_whole_numbers,
            ["a / b", "a / nullif(b, 0)", "cast(a as bigint) / 2"],
            ["cast(a as double precision) / b", "a / nullif(cast(b as decimal(18, 4)), 0)"],
        ),
        (
            syntax_that_redshift_does_not_have,
            [
                "distinct on (a) b",
                "count(*) filter (where a > 1)",
                "x from (select * from t qualify row_number() over (order by a) = 1) as u",
            ],
            ["distinct a", "a from t qualify row_number() over (order by a) = 1"],
        ),
    ],
)
def test_each_rule_finds_what_redshift_refuses_and_nothing_else(
    rule: Callable[[exp.Expr], Iterator[exp.Expr]],
    refused: list[str],
    accepted: list[str],
) -> None:
    def breaks(selection: str) -> bool:
        sql = selection if " from " in selection else f"{selection} from t"
        return any(True for _ in rule(_tree(f"select {sql}")))

    assert [selection for selection in refused if not breaks(selection)] == []
    assert [selection for selection in accepted if breaks(selection)] == []


def test_every_query_over_the_lake_names_its_partitions(project: Project) -> None:
    assert unfiltered(project) == []


def test_a_query_without_partitions_is_found() -> None:
    view = Query("view", "s.v", "select a, day as d from x.t")
    cases = {
        "select a from s.v": False,
        "select a from s.v where a = '1'": False,
        "select a from s.v where d = a": False,
        "select a from s.v where d = '1' or a = '2'": False,
        "select a from s.v where d = (select max(d) from u)": False,
        "select a from s.v as w inner join s.v on w.a = v.a where w.d = '1'": False,
        "with i as (select a from s.v) select a from i where a = '1'": False,
        "select a from s.v where d = '1'": True,
        "select a from s.v as w where w.d in ('1', '2') and a > 1": True,
        "with i as (select a from s.v where d between '0' and '9') select * from i": True,
    }
    for sql, is_allowed in cases.items():
        queries = {"view": view, "query": Query("table", "s.q", sql)}
        assert (unfiltered(Project(queries, {"x.t": {"day": "day"}})) == []) is is_allowed, sql
    hiding = {"view": Query("view", "s.v", "select a, upper(day) as day from x.t")}
    assert unfiltered(Project(hiding, {"x.t": {"day": "day"}})) == ["view hides day of x.t"]


def unfiltered(project: Project) -> list[str]:
    """Return one message per query that reads an external table without a filter on its partitions.

    The query may read the external table directly or through views. A view needs no filter if it
    selects the partition columns unchanged. Then the queries that read the view must filter them.
    """
    partitioned = {name: columns for name, columns in project.external.items() if columns}
    faults = []
    views = {name: query for name, query in project.queries.items() if query.kind == "view"}
    for name, query in views.items():
        for table in _tables(query.sql):
            columns = partitioned.get(_name(table))
            if columns and not _is_filtered(table, columns):
                unchanged = _unchanged(query.sql, columns)
                partitioned[query.relation] = unchanged
                faults += [
                    f"{name} hides {column} of {_name(table)}"
                    for column in columns
                    if column not in unchanged.values()
                ]
    for name, query in project.queries.items():
        if name not in views:
            faults += [
                f"{name} reads {_name(table)} whole"
                for table in _tables(query.sql)
                if _name(table) in partitioned
                and not _is_filtered(table, partitioned[_name(table)])
            ]
    return faults


def _tree(sql: str) -> exp.Expr:
    return sqlglot.parse_one(sql, dialect="redshift")


def _tables(sql: str) -> list[exp.Table]:
    return list(_tree(sql).find_all(exp.Table))


def _name(table: exp.Table) -> str:
    return f"{table.db}.{table.name}"


def _is_filtered(table: exp.Table, columns: Partitions) -> bool:
    """Return whether the select that reads the table compares partition columns with literals."""
    select = table.find_ancestor(exp.Select)
    where = select.args.get("where") if select else None
    if select is None or where is None:
        return False
    prefixes = {table.alias_or_name} if select.args.get("joins") else {table.alias_or_name, ""}
    conditions = where.this.flatten() if isinstance(where.this, exp.And) else [where.this]
    for condition in conditions:
        named = list(condition.find_all(exp.Column))
        if (
            named
            and all(column.name in columns and column.table in prefixes for column in named)
            and not condition.find(exp.Query)
        ):
            return True
    return False


def _unchanged(sql: str, columns: Partitions) -> dict[str, str]:
    """Return the partition columns that a view selects unchanged, by their names in the view."""
    unchanged = {}
    # `qualify` replaces `select *` by the columns.
    query = qualify(_tree(sql), dialect="redshift", validate_qualify_columns=False)
    assert isinstance(query, exp.Query)
    for name in query.named_selects:
        origin = lineage(name, query, {}, dialect="redshift")
        while len(origin.downstream) == 1 and _is_bare(origin):
            origin = origin.downstream[0]
        column = origin.name.rsplit(".", 1)[-1].strip('"')
        if isinstance(origin.expression, exp.Table) and column in columns:
            unchanged[name] = column
    return unchanged


def _is_bare(node: LineageNode) -> bool:
    expression: Any = node.expression
    return isinstance(expression.unalias(), exp.Column)
