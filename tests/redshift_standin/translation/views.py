"""Replaces late-binding views by their queries, and checks the right to read them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from sqlglot import exp

from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.translation.numeric_types import Number
from tests.redshift_standin.translation.parsing import name_of, parse, tables_in
from tests.redshift_standin.translation.postgres import Target


@dataclass(frozen=True)
class Relation:
    """The relation for which a name stands.

    `kind` decides what `body` holds:
    - `view`, a late-binding view: its query. `owner` is its owner.
    - `external`, an external table: its id.
    - `bound`, a view that PostgreSQL reads itself: its columns.
    - `owner_only`, a relation that the owner of a view may read and the user may not: its columns.
    """

    kind: str
    body: str
    is_allowed: bool
    name: str
    owner: str = ""


@dataclass
class Names:
    """The relations for which the names of a statement stand, and their columns.

    The key of `relations` is the reader and the folded name. The reader is the owner of the view in
    which the name stands; in the statement itself it is an empty text. `columns` and `numbers` have
    the columns by folded name, and `numbers` has the types of the number columns. `masked` has the
    columns, as JSON, of each relation of which a masking policy hides columns from the user.
    """

    relations: dict[tuple[str, str], Relation] = field(default_factory=dict)
    columns: dict[str, set[str]] = field(default_factory=dict)
    numbers: dict[str, dict[str, Number]] = field(default_factory=dict)
    masked: dict[str, str] = field(default_factory=dict)


PSEUDO_COLUMNS = {"$path", "$size"}


def in_place(
    tree: exp.Expr,
    names: Names,
    external: set[int],
    inside: tuple[str, ...] = (),
    reader: str = "",
) -> exp.Expr:
    """Replace late-binding views by their queries, and masked relations by queries that mask them.

    Returns the tree; raises Refused.

    The ids of external tables are added to `external`. If the tree has a pseudo-column, external
    tables are replaced by views that have these columns. `inside` holds the names of the views
    around this tree, and `reader` is the owner of the innermost one.
    """
    has_pseudo_columns = any(c.name.lower() in PSEUDO_COLUMNS for c in tree.find_all(exp.Column))
    changed = _changed_table(tree)
    for found in list(tables_in(tree)):
        name = name_of(found)
        relation = names.relations.get((reader, name))
        is_masked = name in names.masked and found is not changed
        table = _masked(found, names.masked[name]) if is_masked else found
        if relation is None:
            continue
        if table is changed:
            raise Refused(
                "0A000", f'cannot change "{relation.name}": it is a view or an external table'
            )
        match relation.kind:
            case "owner_only":
                table.replace(_read_as_owner(table, relation, reader))
            case "external":
                _check_allowed(relation)
                external.add(int(relation.body))
                if has_pseudo_columns:
                    _with_pseudo_columns(table)
            case "view":
                _check_allowed(relation)
                if name in inside:
                    raise Refused(
                        "42P17",
                        f"infinite recursion detected in rules for relation {relation.name}",
                    )
                body = parse(relation.body).tree.copy()
                in_place(body, names, external, (*inside, name), relation.owner)
                table.replace(_instead_of(table, body))
    return tree


def _changed_table(tree: exp.Expr) -> exp.Expr | None:
    changed = (
        tree.this if isinstance(tree, (exp.Insert, exp.Update, exp.Delete, exp.Merge)) else None
    )
    return changed.this if isinstance(changed, exp.Schema) else changed


def _check_allowed(relation: Relation) -> None:
    if not relation.is_allowed:
        # A user with USAGE on an external schema may read all its tables.
        what = f"relation {relation.name}"
        if relation.kind == "external":
            what = f"schema {relation.name.split('.')[0]}"
        raise Refused("42501", f"permission denied for {what}")


def _with_pseudo_columns(table: exp.Table) -> None:
    """Replace an external table by its view with the columns `$path` and `$size`."""
    if not table.alias:
        table.set("alias", _alias(table))
    table.this.set("this", table.name.lower() + "$")
    table.this.set("quoted", True)


def _alias(table: exp.Table) -> exp.TableAlias:
    return exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))


def _instead_of(table: exp.Table, query: exp.Expr) -> exp.Subquery:
    """Return a query as a subquery that takes the place and the name of a table."""
    alias = table.args.get("alias") or _alias(table)
    subquery = exp.Subquery(this=query, alias=alias.copy())
    if table.args.get("joins"):
        subquery.set("joins", table.args["joins"])
    return subquery


def _masked(table: exp.Table, columns: str) -> exp.Table:
    """Put a query that masks a relation into the place of a table; returns the table within it.

    `columns` lists name, expression, input of the expression and type of each column, as JSON. The
    last three are null if the column is not masked.
    """
    items: list[exp.Expr] = []
    for name, expression, source, kind in json.loads(columns):
        column = exp.column(name, table="masked_relation", quoted=True)
        if expression is None:
            items.append(column)
            continue
        value = parse(f"select cast({expression} as {kind})").tree.copy().expressions[0]
        for used in list(value.find_all(exp.Column)):
            if used.name.lower() == source:
                used.replace(column.copy())
        items.append(exp.alias_(value, name, quoted=True))
    inside = table.copy()
    inside.set("joins", None)
    inside.set("alias", exp.TableAlias(this=exp.to_identifier("masked_relation")))
    table.replace(_instead_of(table, exp.select(*items).from_(inside)))
    return inside


def _read_as_owner(table: exp.Table, relation: Relation, owner: str) -> exp.Expr:
    """Return a query that reads a relation with the rights of a view's owner."""
    texts = (exp.Literal.string(text).sql(dialect=Target) for text in (owner, name_of(table)))
    sql = f"select * from standin.read_as({', '.join(texts)}) as owner_rows ({relation.body})"
    return _instead_of(table, exp.maybe_parse(sql, dialect=Target))
