"""Replaces lateral aliases, as in `select price as a, a * 2 as b`, which PostgreSQL does not have.

A name stands for a column if a relation of the query has a column of that name. Otherwise it stands
for the alias to its left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from tests.redshift_standin.translation.parsing import name_of


def apply(tree: exp.Expr, columns: Mapping[str, Collection[str]]) -> None:
    """Replace lateral aliases in the tree by the expressions for which they stand.

    `columns` holds the columns of each relation by its folded name.
    """
    query = tree if isinstance(tree, exp.Query) else tree.args.get("expression")
    if not isinstance(query, exp.Query):
        return
    for scope in traverse_scope(query):
        if isinstance(scope.expression, exp.Select):
            _replace(scope.expression, scope, columns)


def _replace(select: exp.Select, scope: Scope, columns: Mapping[str, Collection[str]]) -> None:
    known: dict[str, exp.Expr] = {}
    for projection in list(select.selects):
        for column in list(projection.find_all(exp.Column)):
            name = column.name.lower()
            if (
                column.table
                or name not in known
                or column.find_ancestor(exp.Select) is not select
                or _may_have(scope, name, columns)
            ):
                continue
            value: exp.Expr = exp.Paren(this=known[name].copy())
            if column is projection:
                value = exp.Alias(this=value, alias=exp.to_identifier(name, quoted=True))
            column.replace(value)
        if isinstance(projection, exp.Alias):
            known[projection.alias.lower()] = projection.this


def _may_have(scope: Scope, name: str, columns: Mapping[str, Collection[str]]) -> bool:
    """Return whether a relation of the query has this column, or whether that is not known."""
    for node, source in scope.selected_sources.values():
        names = node.alias_column_names or _names_of(source, columns)
        if names is None or name in [column.lower() for column in names]:
            return True
    return False


def _names_of(
    source: exp.Table | Scope, columns: Mapping[str, Collection[str]]
) -> Collection[str] | None:
    """Return the columns of a relation, or None if they are not known."""
    if isinstance(source, exp.Table):
        return columns.get(name_of(source))
    query = source.expression
    if isinstance(query.parent, exp.CTE) and query.parent.alias_column_names:
        return [str(name) for name in query.parent.alias_column_names]
    if not isinstance(query, exp.Select):
        # The columns of a set operation have the names of its first side.
        sides = source.set_operation_scopes if isinstance(query, exp.SetOperation) else []
        return _names_of(sides[0], columns) if sides else None
    found: list[str] = []
    for projection in query.selects:
        if not projection.is_star:
            found.append(projection.output_name)
            continue
        of = projection.table if isinstance(projection, exp.Column) else ""
        for alias, (node, below) in source.selected_sources.items():
            if of and alias.lower() != of.lower():
                continue
            names = node.alias_column_names or _names_of(below, columns)
            if names is None:
                return None
            found += names
    return found
