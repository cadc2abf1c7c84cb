"""Finds the columns that an expression uses, and how.

`path` is what is read of the value of the expression: of a list of texts only the second one, of a
JSON text only one key. It is followed to the column as far as the expression keeps the keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import singledispatch
from typing import Protocol

from sqlglot import exp

from include.site.lineage import json_paths
from include.site.lineage.edges import Kind
from include.site.lineage.frames import NO_USES, Source, Uses, as_kind, merged, unknown
from include.site.lineage.json_paths import ANY, Path
from include.site.lineage.templates import Forms

ARRAY_ELEMENT = "json_extract_array_element_text"
"""A function of Redshift for which sqlglot has no class of its own."""

COLUMNS = (exp.Column, exp.TableColumn, exp.PositionalColumn, exp.Star, exp.Columns)
"""The nodes of a tree that stand for columns."""

IS_WRITTEN = "is_written"
"""Marks each coalesce() of the SQL. sqlglot makes others of the columns of USING."""


class Subquery(Source, Protocol):
    """A query inside of an expression."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns."""

    def rows(self) -> Uses:
        """The uses that decide which rows the query has."""


class Frame(Protocol):
    """The SELECT in which an expression stands."""

    dialect: str
    forms: Forms

    @property
    def keeps_right_rows(self) -> bool:
        """Whether a RIGHT or FULL join keeps rows without a row on the left side."""

    def lookup(self, column: exp.Column, path: Path) -> Uses:
        """What a column of a source is made of."""

    def row(self, node: exp.TableColumn, path: Path) -> Uses:
        """What a whole row of a source is made of."""

    def subquery(self, node: exp.Expr) -> Subquery:
        """The query of a node of the tree."""


def uses(node: exp.Expr, frame: Frame, path: Path = ()) -> Uses:
    """All columns that an expression uses, with the names of the forms that they pass."""
    if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
        return frame.lookup(node, path)
    found = _uses(node, frame, path)
    forms = frame.forms.of(node) if found else None
    if forms:
        found = merged(
            {use._replace(through=use.through | forms): steps} for use, steps in found.items()
        )
    return found


def all_uses(nodes: Iterable[exp.Expr | None], frame: Frame, path: Path = ()) -> Uses:
    """The uses of several expressions."""
    return merged(uses(node, frame, path) for node in nodes if node is not None)


def uses_of_children(node: exp.Expr, frame: Frame) -> Uses:
    """The uses of all parts of an expression, each as a whole."""
    return all_uses(node.iter_expressions(), frame)


def _conditions(nodes: Iterable[exp.Expr | None], frame: Frame) -> Uses:
    return as_kind(Kind.CONDITION, all_uses(nodes, frame))


def _order(nodes: Iterable[exp.Expr | None], frame: Frame) -> Uses:
    return as_kind(Kind.WINDOW, all_uses(nodes, frame))


@singledispatch
def _uses(node: exp.Expr, frame: Frame, path: Path) -> Uses:  # noqa: ARG001 - one signature
    return uses_of_children(node, frame)


@_uses.register
def _(node: exp.Literal, frame: Frame, path: Path) -> Uses:  # noqa: ARG001 - one signature
    return NO_USES


@_uses.register
def _(
    # The result has the keys of the first argument.
    node: exp.AnyValue
    | exp.Cast
    | exp.FirstValue
    | exp.IgnoreNulls
    | exp.Lag
    | exp.LastValue
    | exp.Lead
    | exp.Lower
    | exp.Max
    | exp.Min
    | exp.Nullif
    | exp.Paren
    | exp.ParseJSON
    | exp.RegexpReplace
    | exp.Replace
    | exp.Trim
    | exp.Upper,
    frame: Frame,
    path: Path,
) -> Uses:
    rest = [child for child in node.iter_expressions() if child is not node.this]
    return merged([uses(node.this, frame, path), all_uses(rest, frame)])


@_uses.register
def _(node: exp.Coalesce, frame: Frame, path: Path) -> Uses:
    values = [node.this, *node.expressions]
    if IS_WRITTEN not in node.meta and not frame.keeps_right_rows:
        # A column of USING has the value of the left side.
        values = values[:1]
    return all_uses(values, frame, path)


@_uses.register
def _(node: exp.Case, frame: Frame, path: Path) -> Uses:
    branches = node.args["ifs"]
    values = [*(branch.args["true"] for branch in branches), node.args.get("default")]
    conditions = [node.this, *(branch.this for branch in branches)]
    return merged([all_uses(values, frame, path), _conditions(conditions, frame)])


@_uses.register
def _(node: exp.If, frame: Frame, path: Path) -> Uses:
    values = [node.args["true"], node.args.get("false")]
    return merged([all_uses(values, frame, path), _conditions([node.this], frame)])


@_uses.register
def _(node: exp.Filter | exp.ArgMax | exp.ArgMin, frame: Frame, path: Path) -> Uses:
    return merged([uses(node.this, frame, path), _conditions([node.expression], frame)])


@_uses.register
def _(node: exp.Window, frame: Frame, path: Path) -> Uses:
    window = [*(node.args.get("partition_by") or ()), node.args.get("order")]
    return merged([uses(node.this, frame, path), _order(window, frame)])


@_uses.register
def _(node: exp.Order, frame: Frame, path: Path) -> Uses:
    if node.this is None:
        return uses_of_children(node, frame)
    # string_agg(a order by b)
    return merged([uses(node.this, frame, path), _order(node.expressions, frame)])


@_uses.register
def _(node: exp.WithinGroup, frame: Frame, path: Path) -> Uses:
    if node.this.find(*COLUMNS):
        return merged([uses(node.this, frame, path), _order([node.expression], frame)])
    # The only value of percentile_cont(0.5) within group (order by a) is in its order.
    return uses(node.expression, frame)


@_uses.register
def _(node: exp.Exists, frame: Frame, path: Path) -> Uses:  # noqa: ARG001 - one signature
    return as_kind(Kind.CONDITION, frame.subquery(node.this).rows())


@_uses.register
def _(node: exp.Query, frame: Frame, path: Path) -> Uses:
    query = frame.subquery(node)
    return query.column(query.names[0], path)


@_uses.register
def _(node: exp.TableColumn, frame: Frame, path: Path) -> Uses:
    # `to_json(t)` uses a row of the source `t` as one value.
    return frame.row(node, path)


@_uses.register
def _(
    node: exp.Star | exp.Columns | exp.PositionalColumn | exp.Column,
    frame: Frame,
    path: Path,  # noqa: ARG001 - one signature
) -> Uses:
    # count(*) counts rows, but count(columns(*)) makes one new column per column.
    if isinstance(node.parent, exp.Count) and isinstance(node, exp.Star | exp.Column):
        return NO_USES
    return unknown(f"the columns of {node.sql(frame.dialect)} are not known")


@_uses.register
def _(node: exp.Dot, frame: Frame, path: Path) -> Uses:
    if isinstance(node.expression, exp.Identifier):
        return uses(node.this, frame, (node.expression.name, *path))
    return uses_of_children(node, frame)


@_uses.register
def _(node: exp.Bracket, frame: Frame, path: Path) -> Uses:
    if len(node.expressions) != 1:
        return uses_of_children(node, frame)
    index = node.expressions[0]
    part = json_paths.of_index(index)
    return merged([uses(node.this, frame, (part, *path)), _conditions([index], frame)])


@_uses.register
def _(node: exp.Array, frame: Frame, path: Path) -> Uses:
    if path and isinstance(path[0], int):
        return all_uses(node.expressions[path[0] : path[0] + 1], frame, path[1:])
    return uses_of_children(node, frame)


@_uses.register
def _(node: exp.Struct, frame: Frame, path: Path) -> Uses:
    fields = {field.name: field.expression for field in node.expressions if field.expression}
    if path and path[0] in fields:
        return uses(fields[path[0]], frame, path[1:])
    return all_uses([*fields.values()] or node.expressions, frame)


@_uses.register
def _(node: exp.DPipe | exp.Concat, frame: Frame, path: Path) -> Uses:
    inner = json_paths.inside_of_built(node, path)
    return uses(inner, frame, path[1:]) if inner is not None else uses_of_children(node, frame)


@_uses.register
def _(node: exp.Anonymous, frame: Frame, path: Path) -> Uses:
    if node.name.lower() == ARRAY_ELEMENT:
        json, index = node.expressions[:2]
        return uses(json, frame, (json_paths.of_index(index), *path))
    return uses_of_children(node, frame)


@_uses.register
def _(
    node: exp.JSONExtract
    | exp.JSONExtractScalar
    | exp.JSONBExtract
    | exp.JSONBExtractScalar
    | exp.JSONType
    | exp.StructExtract,
    frame: Frame,
    path: Path,
) -> Uses:
    read = json_paths.of_extract(node)
    if read is None:
        computed = [child for child in node.iter_expressions() if child is not node.this]
        return merged([uses(node.this, frame, (ANY,)), _conditions(computed, frame)])
    if isinstance(read, list):
        if path and isinstance(path[0], int):
            read, path = read[path[0] : path[0] + 1], path[1:]
        return merged(uses(node.this, frame, (*one, *path)) for one in read)
    if read and read[-1] is ANY and path:
        # The expression makes a list of all values, and the path reads one of them.
        read = read[:-1]
    return uses(node.this, frame, (*read, *path))
