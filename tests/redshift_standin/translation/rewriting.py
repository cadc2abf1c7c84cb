"""Rewrites the nodes of a tree that Redshift and PostgreSQL read differently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.sql_text import short_name
from tests.redshift_standin.translation import numeric_types
from tests.redshift_standin.translation.parsing import PLACEHOLDER
from tests.redshift_standin.translation.postgres import Target


def fold_name(node: exp.Identifier) -> None:
    """Write a name in lower case.

    Redshift also folds quoted names unless enable_case_sensitive_identifier is on.
    """
    node.set("this", short_name(node.name.lower()))


def rewrite_type(node: exp.DataType) -> None:
    if node.this is exp.DType.VARBINARY:
        node.set("expressions", [])
    elif node.expressions and node.expressions[0].name.lower() == "max":
        node.set("expressions", [exp.DataTypeParam(this=exp.Literal.number(65535))])


def rewrite_try_cast(node: exp.TryCast) -> None:
    """Replace TRY_CAST by a call of a function that catches the error of a cast."""
    name = exp.Literal.string(node.to.sql(dialect=Target))
    sample = exp.cast(exp.Null(), node.to.copy())
    text = exp.cast(node.this.copy(), "varchar")
    call = exp.Anonymous(this="standin.try_cast", expressions=[text, name, sample])
    node.replace(exp.Cast(this=call, to=node.to.copy()))


def rewrite_cast_to_number(node: exp.Cast) -> None:
    """Round a number that consists of literals and parameters before it is cast.

    A cast of any other decimal cuts digits off, see functions.sql.
    """
    number = numeric_types.of_data_type(node.to)
    if number is None:
        return
    parts = list(node.this.walk())
    leaves = [part for part in parts if not list(part.iter_expressions())]
    is_written = all(
        leaf.is_number or (isinstance(leaf, exp.Identifier) and PLACEHOLDER.match(leaf.name))
        for leaf in leaves
    )
    arithmetic = (exp.Literal, exp.Column, exp.Identifier, exp.Paren, exp.Neg, exp.Binary)
    if is_written and all(isinstance(part, arithmetic) for part in parts):
        digits = exp.Literal.number(number.scale)
        node.set("this", exp.Anonymous(this="standin.rounded", expressions=[node.this, digits]))


def rewrite_case(node: exp.Case) -> None:
    """Add a typed null as the ELSE of a CASE without one.

    Without an ELSE, PostgreSQL loses length, precision and scale of the result.
    """
    if not node.args.get("default"):
        node.set("default", typed_null(node.args["ifs"][0].args["true"]))


def typed_null(node: exp.Expr) -> exp.Expr | None:
    """Return a null of the declared type of the node, or None if that type is not known."""
    match node:
        case exp.Paren():
            return typed_null(node.this)
        case exp.Cast():
            return exp.Cast(this=exp.Null(), to=node.to.copy())
        case exp.Column() if not isinstance(node.this, exp.Star):
            return exp.Nullif(this=node.copy(), expression=node.copy())
        case exp.Case():
            default = node.args.get("default")
            # A default that typed_null() made is certainly null. Other defaults may have a value.
            if isinstance(default, exp.Nullif) or (
                isinstance(default, exp.Cast) and isinstance(default.this, exp.Null)
            ):
                return default.copy()
    return None


def rewrite_average(node: exp.Avg) -> None:
    """Replace AVG by a function of sum, count and maximum that keeps the type of the argument."""
    window = node.parent if isinstance(node.parent, exp.Window) else None
    whole = window or node

    def of(kind: type[exp.Expr]) -> exp.Expr:
        inner = kind(this=node.this.copy())
        if window is None:
            return inner
        copied = window.copy()
        copied.set("this", inner)
        return copied

    values = [of(exp.Sum), of(exp.Count), of(exp.Max)]
    whole.replace(exp.Anonymous(this="standin.average", expressions=values))


def rewrite_ratio(node: exp.Window) -> None:
    """Replace RATIO_TO_REPORT(x) OVER (...) by x divided by its sum in the window, as a double."""
    if node.this.name.lower() != "ratio_to_report":
        return
    value = exp.cast(node.this.expressions[0].copy(), "double precision")
    total = node.copy()
    total.set("this", exp.Sum(this=value.copy()))
    zero = exp.Literal.number(0)
    node.replace(
        exp.Paren(this=exp.Div(this=value, expression=exp.Nullif(this=total, expression=zero)))
    )


def _unit_as_text(node: exp.Anonymous) -> exp.Expr:
    unit, *others = node.expressions
    if isinstance(unit, (exp.Column, exp.Var)):
        unit = exp.Literal.string(unit.name.lower())
    return exp.Anonymous(
        this=node.name.lower(), expressions=[unit.copy(), *(o.copy() for o in others)]
    )


def _renamed(name: str) -> Callable[[exp.Anonymous], exp.Expr]:
    return lambda node: exp.Anonymous(this=name, expressions=[e.copy() for e in node.expressions])


def _concatenated(node: exp.Anonymous) -> exp.Expr:
    """Replace CONCAT by `||`. It takes two texts, and the result is null if one of them is null."""
    if len(node.expressions) != 2:
        raise Refused("42883", "function concat() takes two arguments")
    first, second = (exp.cast(e.copy(), "varchar") for e in node.expressions)
    return exp.Paren(this=exp.DPipe(this=first, expression=second, safe=True))


def _part_of(node: exp.Anonymous) -> exp.Expr:
    if len(node.expressions) != 2:
        raise Refused("42883", "function date_part() takes two arguments")
    unit, value = node.expressions
    return exp.Extract(this=exp.Var(this=unit.name.lower()), expression=value.copy())


def _as_call(node: exp.Expr) -> exp.Anonymous:
    assert isinstance(node, exp.Anonymous)
    return node


REWRITTEN_CALLS: dict[str, Callable[[exp.Anonymous], exp.Expr]] = {
    "dateadd": _unit_as_text,
    "date_add": lambda node: _renamed("dateadd")(_as_call(_unit_as_text(node))),
    "datediff": _unit_as_text,
    "date_diff": lambda node: _renamed("datediff")(_as_call(_unit_as_text(node))),
    "date_part": _part_of,
    "concat": _concatenated,
    "textlen": _renamed("length"),
    "pow": _renamed("power"),
    "any_value": _renamed("min"),
}


def rewrite_call(node: exp.Anonymous) -> None:
    change = REWRITTEN_CALLS.get(node.name.lower())
    if change:
        node.replace(change(node))


REWRITTEN_NODES: dict[type[exp.Expr], Callable[[Any], None]] = {
    exp.Identifier: fold_name,
    exp.DataType: rewrite_type,
    exp.TryCast: rewrite_try_cast,
    exp.Cast: rewrite_cast_to_number,
    exp.Anonymous: rewrite_call,
    exp.Case: rewrite_case,
    exp.Window: rewrite_ratio,
}


def rewrite(tree: exp.Expr) -> None:
    """Rewrite a tree in place; raises Refused."""
    name_subqueries(tree)
    # Inner nodes come first, because an outer node is rebuilt from copies of them.
    for node in reversed(list(tree.walk())):
        change = REWRITTEN_NODES.get(type(node))
        if change:
            change(node)
    for average in reversed(list(tree.find_all(exp.Avg))):
        rewrite_average(average)


def name_subqueries(tree: exp.Expr) -> None:
    """Give subqueries an alias, which PostgreSQL 15 requires and Redshift does not."""
    nameless = (
        subquery
        for subquery in reversed(list(tree.find_all(exp.Subquery)))
        if isinstance(subquery.parent, (exp.From, exp.Join)) and not subquery.alias
    )
    for number, subquery in enumerate(nameless):
        subquery.set("alias", exp.TableAlias(this=exp.to_identifier(f"standin_{number}")))
