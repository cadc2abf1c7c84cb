"""Gives expressions the precision and scale that Redshift's rules give them.

PostgreSQL's numeric loses precision and scale in an expression. This module derives the types of a
query's columns from the declared types of the tables, through every subquery. A division gets
Redshift's scale. A projection of known type is cast to it, so that CREATE TABLE AS makes a column
of that type. An expression of unknown type keeps PostgreSQL's numeric.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from tests.redshift_standin.translation.parsing import name_of

MAXIMUM = 38


@dataclass(frozen=True)
class Number:
    """A decimal type, or an integer type with the largest number of its decimal digits."""

    precision: int
    scale: int = 0
    is_integer: bool = False


INTEGERS = {
    exp.DType.SMALLINT: Number(5, 0, True),
    exp.DType.INT: Number(10, 0, True),
    exp.DType.BIGINT: Number(19, 0, True),
}
BY_NAME = {
    "smallint": Number(5, 0, True),
    "integer": Number(10, 0, True),
    "bigint": Number(19, 0, True),
}
Columns = Mapping[str, Number]


def of_postgres(name: str) -> Number | None:
    """Return the type for a name that PostgreSQL's format_type() writes; None for other types."""
    decimal = re.fullmatch(r"numeric\((\d+),(\d+)\)", name)
    if decimal:
        return Number(int(decimal[1]), int(decimal[2]))
    return BY_NAME.get(name)


def of_data_type(node: exp.DataType) -> Number | None:
    if node.this is exp.DType.DECIMAL:
        sizes = [int(size.name) for size in node.expressions if size.name.isdigit()]
        return Number(sizes[0] if sizes else 18, sizes[1] if len(sizes) > 1 else 0)
    return INTEGERS.get(node.this)


class Types:
    """The number types in one statement, by node.

    `tables` holds the number columns of each relation by its folded name.
    """

    def __init__(self, tree: exp.Expr, tables: Mapping[str, Columns]) -> None:
        self._tables = tables
        self._scopes: dict[int, Scope] = {}
        self._outputs: dict[int, dict[str, Number]] = {}
        self._known: dict[int, Number | None] = {}
        self.scopes: list[Scope] = []
        query = tree if isinstance(tree, exp.Query) else tree.args.get("expression")
        if isinstance(query, exp.Query):
            self.scopes = traverse_scope(query)
        for scope in self.scopes:
            for node in scope.walk():
                self._scopes[id(node)] = scope
            self._outputs[id(scope)] = self._output(scope)

    def _output(self, scope: Scope) -> dict[str, Number]:
        if isinstance(scope.expression, exp.SetOperation):
            sides = [self._outputs.get(id(s), {}) for s in scope.set_operation_scopes]
            places = [_names_of(side.expression) for side in scope.set_operation_scopes]
            if any("*" in names for names in places):
                # With a star, the positions of the columns are not known. The columns are matched
                # by name instead, because most often the sides have the same names.
                places = [list(sides[0]) if sides else []] * len(sides)
            # Columns are matched by position and have the names of the first side.
            return {
                names[0]: combined
                for names in zip(*places, strict=False)
                if (
                    combined := _united(
                        [side.get(name) for side, name in zip(sides, names, strict=True)], True
                    )
                )
            }
        found: dict[str, Number] = {}
        if not isinstance(scope.expression, exp.Select):
            return found
        for projection in scope.expression.selects:
            if projection.is_star:
                of = projection.table if isinstance(projection, exp.Column) else ""
                for name in [of] if of else list(scope.selected_sources):
                    found |= self._columns_of(scope, name)
            elif number := self.of(projection):
                found[projection.alias_or_name.lower()] = number
            else:
                found.pop(projection.alias_or_name.lower(), None)
        return found

    def sides(self, scope: Scope) -> Iterator[tuple[exp.Expr, Number]]:
        """Yield the projections that need a cast to the type of their set operation."""
        united, names = self._outputs[id(scope)], _names_of(scope.expression)
        for side in _selects_below(scope):
            for name, projection in zip(names, side.selects, strict=False):
                if "*" in names or projection.is_star:
                    break
                number = united.get(name)
                if number and not number.is_integer and self.of(projection) != number:
                    yield projection, number

    def _columns_of(self, scope: Scope, name: str) -> dict[str, Number]:
        source = scope.sources.get(name)
        if isinstance(source, Scope):
            return self._outputs.get(id(source), {})
        if isinstance(source, exp.Table):
            return dict(self._tables.get(name_of(source), {}))
        return {}

    def of(self, node: exp.Expr | None) -> Number | None:
        """Return the type of a node, or None if it is not known to be a number."""
        if node is None:
            return None
        if id(node) not in self._known:
            self._known[id(node)] = self._of(node)
        return self._known[id(node)]

    def _of(self, node: exp.Expr) -> Number | None:  # noqa: C901, PLR0911, PLR0912
        match node:
            case exp.Alias() | exp.Paren() | exp.Neg() | exp.Nullif() | exp.Min() | exp.Max():
                return self.of(node.this)
            case exp.Anonymous() if node.name.lower() == "abs" and node.expressions:
                return self.of(node.expressions[0])
            case exp.Window():
                return (
                    self.of(node.this)
                    if isinstance(
                        node.this,
                        (exp.Avg, exp.Sum, exp.Min, exp.Max, exp.Count, exp.Lag, exp.Lead),
                    )
                    else None
                )
            case exp.Lag() | exp.Lead() | exp.FirstValue() | exp.LastValue():
                return self.of(node.this)
            case exp.Cast():
                return of_data_type(node.to)
            case exp.Literal() if not node.is_string and re.fullmatch(r"\d+(\.\d*)?", node.name):
                return _of_literal(node.name)
            case exp.Column():
                return self._of_column(node)
            case exp.Extract():
                return BY_NAME["integer"]
            case exp.Count() | exp.RowNumber() | exp.Rank() | exp.DenseRank():
                return BY_NAME["bigint"]
            case exp.Avg():
                number = self.of(node.this)
                return number and (
                    BY_NAME["bigint"] if number.is_integer else Number(MAXIMUM, number.scale)
                )
            case exp.Sum():
                return _summed(self.of(node.this))
            case exp.Case():
                branches = [branch.args["true"] for branch in node.args["ifs"]]
                if node.args.get("default") is not None:
                    branches.append(node.args["default"])
                return self._together(branches)
            case exp.Coalesce():
                return self._together([node.this, *node.expressions])
            case exp.DecodeCase():
                # The arguments are a value, pairs of a search and a result, and perhaps a default.
                _, *others = node.expressions
                results = others[1::2] + (others[-1:] if len(others) % 2 else [])
                return self._together(results)
            case exp.Anonymous() if node.name.lower() in ("greatest", "least"):
                return self._together(node.expressions)
            case exp.Add() | exp.Sub() | exp.Mul() | exp.Div():
                return result(node, self.of(node.this), self.of(node.expression))
        return None

    def _together(self, nodes: list[exp.Expr]) -> Number | None:
        return _united([self.of(node) for node in nodes if not isinstance(node, exp.Null)])

    def _of_column(self, column: exp.Column) -> Number | None:
        scope = self._scopes.get(id(column))
        if scope is None:
            return None
        name = column.name.lower()
        if column.table:
            return self._columns_of(scope, column.table).get(name)
        found = [
            columns[name]
            for source in scope.selected_sources
            if name in (columns := self._columns_of(scope, source))
        ]
        return found[0] if len(found) == 1 else None


def _names_of(query: exp.Expr) -> list[str]:
    return [n.lower() for n in query.named_selects] if isinstance(query, exp.Query) else ["*"]


def _selects_below(scope: Scope) -> Iterator[exp.Select]:
    """Yield the SELECTs of a set operation, and those of the set operations inside it."""
    for side in scope.set_operation_scopes:
        if isinstance(side.expression, exp.Select):
            yield side.expression
        elif isinstance(side.expression, exp.SetOperation):
            yield from _selects_below(side)


def _united(numbers: list[Number | None], is_union: bool = False) -> Number | None:
    """Return the type of CASE, COALESCE or UNION, which holds the values of all `numbers`.

    The precision has at most 38 digits. The precision of a UNION of types with up to 19 digits,
    which Redshift stores in 64 bits, has at most 19 digits.
    """
    if not numbers or any(number is None for number in numbers):
        return None
    known = [number for number in numbers if number]
    if all(number.is_integer for number in known):
        return max(known, key=lambda number: number.precision)
    scale = max(number.scale for number in known)
    whole = max(number.precision - number.scale for number in known)
    maximum = 19 if is_union and all(number.precision <= 19 for number in known) else MAXIMUM
    return Number(min(whole + scale, maximum), scale)


def _of_literal(text: str) -> Number:
    whole, _, digits = text.partition(".")
    if digits:
        return Number(max(len(whole.lstrip("0")), 1) + len(digits), len(digits))
    for number in (BY_NAME["integer"], BY_NAME["bigint"]):
        if len(whole) < number.precision:
            return number
    return Number(min(len(whole), MAXIMUM))


def _summed(number: Number | None) -> Number | None:
    """Return the type of SUM: bigint for smallint and integer, a decimal without scale for bigint.

    The sum of a decimal keeps its scale and has 38 digits.
    """
    if number is None:
        return None
    if number.is_integer and number.precision < 19:
        return BY_NAME["bigint"]
    return Number(MAXIMUM, number.scale)


def result(node: exp.Expr, left: Number | None, right: Number | None) -> Number | None:
    """Return the type of an arithmetic expression.

    The rules are those of the page "Computations with numeric values" in Redshift's documentation.
    """
    if left is None or right is None:
        return None
    if left.is_integer and right.is_integer:
        return max(left, right, key=lambda number: number.precision)
    match node:
        case exp.Mul():
            scale, precision = left.scale + right.scale, left.precision + right.precision + 1
        case exp.Div():
            scale = max(4, left.scale + right.precision - right.scale + 1)
            precision = left.precision - left.scale + right.scale + scale
        case _:
            scale = max(left.scale, right.scale)
            precision = max(left.precision - left.scale, right.precision - right.scale) + 1 + scale
    if scale > 100:
        precision, scale = precision - (scale - 100), 100
    if precision > MAXIMUM:
        if isinstance(node, exp.Div):
            scale = max(MAXIMUM + scale - precision, 4)
        precision = MAXIMUM
    return Number(precision, min(scale, MAXIMUM))


def apply(tree: exp.Expr, tables: Mapping[str, Columns]) -> None:
    """Give the divisions in the tree their scale, and cast the projections to their type."""
    types = Types(tree, tables)
    projections = [
        (projection, number)
        for scope in types.scopes
        if isinstance(scope.expression, exp.Select)
        for projection in scope.expression.selects
        if isinstance(projection, exp.Alias)
        and (number := types.of(projection))
        and not number.is_integer
    ]
    sides = [
        (projection, number)
        for scope in types.scopes
        if isinstance(scope.expression, exp.SetOperation)
        and not isinstance(scope.expression.parent, exp.SetOperation)
        for projection, number in types.sides(scope)
    ]
    # Inner divisions come first. Nodes are moved and not copied, because types are kept by node.
    for node in reversed(list(tree.find_all(exp.Div))):
        number = types.of(node)
        if number and not number.is_integer:
            call = exp.Anonymous(this="standin.divided")
            node.replace(call)
            sizes = [exp.Literal.number(number.precision), exp.Literal.number(number.scale)]
            call.set("expressions", [node.this, node.expression, *sizes])
    for projection, number in projections:
        value = projection.this
        if not isinstance(value, (exp.Column, exp.Cast)):
            kind = exp.DataType.build(f"decimal({number.precision}, {number.scale})")
            cast = exp.Cast(to=kind)
            projection.set("this", cast)
            cast.set("this", value)
    for side, number in sides:
        cast_projection(side, number)


def cast_projection(projection: exp.Expr, number: Number) -> None:
    """Cast a projection of a UNION to the type of all sides, because PostgreSQL loses that type."""
    kind = exp.DataType.build(f"decimal({number.precision}, {number.scale})")
    if isinstance(projection, exp.Alias):
        projection.set("this", exp.Cast(this=projection.this.copy(), to=kind))
        return
    name, cast = projection.output_name, exp.Cast(this=projection.copy(), to=kind)
    named = exp.Alias(this=cast, alias=exp.to_identifier(name, quoted=True)) if name else cast
    projection.replace(named)
