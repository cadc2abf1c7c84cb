"""Late-binding views in the place of their names, and who may read what is behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.translation.numeric_types import Number
from tests.redshift_standin.translation.parsing import name_of, parse, tables_in
from tests.redshift_standin.translation.postgres import Target


@dataclass(frozen=True)
class Relation:
    """What a name stands for: a late-binding `view` with its body and owner, an `external` table
    with its id, a `bound` view, or a relation that is `lent` by a view's owner, with its columns.
    """

    kind: str
    body: str
    is_allowed: bool
    name: str
    owner: str = ""


@dataclass
class Names:
    """What the names of a statement stand for, by who reads (a view's owner, or nobody) and folded
    name; and the columns by folded name, those of numbers with their types.
    """

    relations: dict[tuple[str, str], Relation] = field(default_factory=dict)
    columns: dict[str, set[str]] = field(default_factory=dict)
    numbers: dict[str, dict[str, Number]] = field(default_factory=dict)


PSEUDO_COLUMNS = {"$path", "$size"}


def in_place(
    tree: exp.Expr,
    relations: Mapping[tuple[str, str], Relation],
    external: set[int],
    inside: tuple[str, ...] = (),
    reader: str = "",
) -> exp.Expr:
    """Late-binding views replaced by their bodies; external tables noted, and with pseudo-columns
    if asked.

    `inside` are the views whose body this is, `reader` is the owner of the last of them.
    """
    asks_path = any(c.name.lower() in PSEUDO_COLUMNS for c in tree.find_all(exp.Column))
    changed = _changed_table(tree)
    for table in list(tables_in(tree)):
        name = name_of(table)
        relation = relations.get((reader, name))
        if relation is None:
            continue
        if table is changed:
            raise Refused(
                "0A000", f'cannot change "{relation.name}": it is a view or an external table'
            )
        match relation.kind:
            case "lent":
                table.replace(_lent(table, relation, reader))
            case "external":
                _check_allowed(relation)
                external.add(int(relation.body))
                if asks_path:
                    _with_pseudo_columns(table)
            case "view":
                _check_allowed(relation)
                if name in inside:
                    raise Refused(
                        "42P17",
                        f"infinite recursion detected in rules for relation {relation.name}",
                    )
                body = parse(relation.body).tree.copy()
                in_place(body, relations, external, (*inside, name), relation.owner)
                table.replace(_instead_of(table, body))
    return tree


def _changed_table(tree: exp.Expr) -> exp.Expr | None:
    changed = (
        tree.this if isinstance(tree, (exp.Insert, exp.Update, exp.Delete, exp.Merge)) else None
    )
    return changed.this if isinstance(changed, exp.Schema) else changed


def _check_allowed(relation: Relation) -> None:
    if not relation.is_allowed:
        # Whoever may use an external schema may read all its tables.
        what = f"relation {relation.name}"
        if relation.kind == "external":
            what = f"schema {relation.name.split('.')[0]}"
        raise Refused("42501", f"permission denied for {what}")


def _with_pseudo_columns(table: exp.Table) -> None:
    """An external table replaced by the view of it that has `$path` and `$size`."""
    if not table.alias:
        table.set("alias", _alias(table))
    table.this.set("this", table.name.lower() + "$")
    table.this.set("quoted", True)


def _alias(table: exp.Table) -> exp.TableAlias:
    return exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))


def _instead_of(table: exp.Table, query: exp.Expr) -> exp.Subquery:
    """A query in the place of a table, under its name."""
    alias = table.args.get("alias") or _alias(table)
    subquery = exp.Subquery(this=query, alias=alias.copy())
    if table.args.get("joins"):
        subquery.set("joins", table.args["joins"])
    return subquery


def _lent(table: exp.Table, relation: Relation, owner: str) -> exp.Expr:
    """What a view's owner may read, read for him who may read the view."""
    texts = (exp.Literal.string(text).sql(dialect=Target) for text in (owner, name_of(table)))
    sql = f"select * from standin.read_as({', '.join(texts)}) as rows_lent ({relation.body})"
    return _instead_of(table, exp.maybe_parse(sql, dialect=Target))
