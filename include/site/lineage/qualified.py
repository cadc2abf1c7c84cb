"""Parses the SQL of a node, and lets sqlglot name the table of each column."""

from __future__ import annotations

from collections.abc import Mapping

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from include.site.lineage.expressions import IS_WRITTEN
from include.site.lineage.frames import Relation

EPHEMERAL = "__dbt__cte__"
"""dbt writes an ephemeral model as a CTE with this prefix into each query that reads it."""

RelationName = tuple[str, str, str]
"""Catalog, schema and name, in lower case."""


def qualified(sql: str, dialect: str, relations: Mapping[RelationName, Relation]) -> exp.Expr:
    """Parse a query, and name the table of each of its columns as far as it is known.

    `qualify` also replaces `select *`, USING and places in GROUP BY by columns.
    """
    tree = sqlglot.parse_one(sql, dialect=dialect)
    if not isinstance(tree, exp.Query):
        raise sqlglot.ParseError(f"{tree.key} is no query")
    _remove_ephemeral(tree)
    found: dict[str, object] = {}
    for table in tree.find_all(exp.Table):
        relation = _relation(table, relations)
        if relation is not None:
            name = relation.unique_id.lower()
            _rename(table, name)
            if relation.names:
                found[name] = dict.fromkeys(relation.names, "unknown")
    for node in tree.find_all(exp.Coalesce):
        node.meta[IS_WRITTEN] = True
    return qualify(
        tree,
        dialect=dialect,
        schema=MappingSchema(found, dialect=dialect, normalize=False),
        quote_identifiers=False,
        identify=False,
        # `Select.lookup` finds aliases, and gives each column that is not found a reason.
        expand_alias_refs=False,
        allow_partial_qualification=True,
        validate_qualify_columns=False,
    )


def _rename(table: exp.Table, name: str) -> None:
    """Give a table one name instead of catalog, schema and name, which a CTE can have as well."""
    if not table.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
    table.set("this", exp.to_identifier(name, quoted=True))
    table.set("db", None)
    table.set("catalog", None)


def _remove_ephemeral(tree: exp.Expr) -> None:
    """Remove the CTEs of ephemeral models, so that these are read as tables."""
    clause = tree.args.get("with_")
    if clause is not None:
        kept = [cte for cte in clause.expressions if not cte.alias.startswith(EPHEMERAL)]
        clause.set("expressions", kept)
        if not kept:
            tree.set("with_", None)


def _relation(table: exp.Table, relations: Mapping[RelationName, Relation]) -> Relation | None:
    catalog, schema, name = table.catalog.lower(), table.db.lower(), table.name.lower()
    found = relations.get((catalog, schema, name))
    if found is None and not catalog:
        matching = [relation for key, relation in relations.items() if key[1:] == (schema, name)]
        found = matching[0] if len(matching) == 1 else None
    return found
