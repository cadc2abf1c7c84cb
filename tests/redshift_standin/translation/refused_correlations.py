"""Refuses the correlated subqueries that Redshift cannot turn into joins."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope

from tests.redshift_standin.refusals import Refused

CORRELATED = "This type of correlated subquery pattern is not supported due to internal error"


def refuse_correlations(tree: exp.Expr) -> None:
    """Raise Refused for the patterns that the documentation lists as unsupported.

    A correlation is only recognized by a column with the name of its table.
    """
    refuse_groups_by_correlation(tree)
    if not isinstance(tree, exp.Query) or not any(
        subquery.find_ancestor(exp.Where, exp.Having, exp.Join)
        or isinstance(subquery.parent, exp.Exists)
        for subquery in tree.find_all(exp.Subquery, exp.Exists)
    ):
        return
    for scope in traverse_scope(tree):
        if not scope.is_subquery or scope.parent is None:
            continue
        outer = {column.table for column in scope.external_columns if column.table}
        if not outer:
            continue
        if outer - {str(name) for name in scope.parent.sources}:
            raise Refused("0A000", CORRELATED, "The correlation skips a query block.")
        join = scope.expression.find_ancestor(exp.Join)
        if join and join.side and scope.expression.find_ancestor(exp.Select) is join.parent:
            raise Refused(
                "0A000", CORRELATED, "The correlation is in the ON clause of an outer join."
            )
        query = scope.expression
        selects = query.selects if isinstance(query, exp.Query) else []
        if any(projection.find(exp.Window) for projection in selects):
            raise Refused("0A000", CORRELATED, "The correlated subquery has a window function.")
        if scope.expression.args.get("limit"):
            raise Refused("0A000", CORRELATED, "The correlated subquery has a LIMIT.")


def refuse_groups_by_correlation(tree: exp.Expr) -> None:
    """Raise Refused for a GROUP BY with the alias or position of a correlated subquery."""
    for select in tree.find_all(exp.Select):
        group = select.args.get("group")
        if not group:
            continue
        keys = {key.name.lower() for key in group.expressions}
        for place, projection in enumerate(select.selects, 1):
            subquery = projection.find(exp.Subquery)
            if not subquery or not keys & {projection.alias.lower(), str(place)}:
                continue
            inner = {table.alias_or_name for table in subquery.find_all(exp.Table)}
            if any(c.table and c.table not in inner for c in subquery.find_all(exp.Column)):
                raise Refused("0A000", CORRELATED, "GROUP BY its result.")
