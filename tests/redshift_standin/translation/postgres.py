"""Writes a tree as PostgreSQL's SQL."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.generators.postgres import PostgresGenerator

from tests.redshift_standin.refusals import unsupported_here


def part_of_time(generator: Any, node: exp.Extract) -> str:
    """Write EXTRACT or DATE_PART as a call of a function that returns integers as Redshift does."""
    unit, value = node.name.lower(), generator.sql(node, "expression")
    if unit == "epoch":
        return f"standin.epoch_of({value})"
    return f"standin.part_of('{unit}', {value})"


def list_aggregate(generator: Any, node: exp.GroupConcat, order: exp.Order | None = None) -> str:
    """Write LISTAGG as STRING_AGG.

    With DISTINCT, sqlglot keeps the separator inside the argument.
    """
    value, separator, distinct = node.this, node.args.get("separator"), ""
    if isinstance(value, exp.Distinct):
        distinct = "DISTINCT "
        if len(value.expressions) > 1:
            separator = separator or value.expressions[1]
        value = value.expressions[0]
        if isinstance(value, exp.Concat):
            separator, value = separator or value.expressions[1], value.expressions[0]
    # LISTAGG ignores empty texts as well as nulls.
    text = exp.Nullif(this=exp.cast(value.copy(), "varchar"), expression=exp.Literal.string(""))
    if order is not None:
        order = order.copy()
        for ordered in order.expressions:
            # With DISTINCT, PostgreSQL requires that ORDER BY has the argument itself.
            if distinct and ordered.this == value:
                ordered.set("this", text.copy())
    joined = generator.sql(separator) if separator else "''"
    ordering = generator.sql(order).strip() if order is not None else ""
    return f"STRING_AGG({distinct}{generator.sql(text)}, {joined} {ordering})"


class Target(Postgres):
    """PostgreSQL's dialect, with calls of functions.sql where PostgreSQL has no equivalent."""

    class Generator(PostgresGenerator):
        TRANSFORMS: ClassVar[dict[Any, Any]] = {
            **PostgresGenerator.TRANSFORMS,
            exp.CurrentTimestamp: lambda _, node: (
                "sysdate()" if node.args.get("sysdate") else "getdate()"
            ),
            exp.Extract: part_of_time,
            exp.GroupConcat: list_aggregate,
            exp.ApproxDistinct: lambda self, node: f"COUNT(DISTINCT {self.sql(node, 'this')})",
            exp.ApproxQuantile: lambda self, node: (
                f"PERCENTILE_DISC({self.sql(node, 'quantile')}) "
                f"WITHIN GROUP (ORDER BY {self.sql(node, 'this')})"
            ),
        }

        def withingroup_sql(self, node: exp.WithinGroup) -> str:
            if isinstance(node.this, exp.GroupConcat):
                return list_aggregate(self, node.this, node.expression)
            return str(super().withingroup_sql(node))

        def ignorenulls_sql(self, _: exp.IgnoreNulls) -> str:
            raise unsupported_here("IGNORE NULLS, because PostgreSQL has none")
