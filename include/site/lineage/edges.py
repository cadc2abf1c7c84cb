"""The edges of column lineage. Names of columns are in lower case, as both engines compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import msgspec

ROWS = "*"
"""Takes the place of a column in an edge that affects the rows of a model, so all its columns."""


class Kind(StrEnum):
    """How a column is used."""

    VALUE = "value"
    """The value of the new column is taken or computed from it."""
    CONDITION = "condition"
    """It decides which value the new column has, as in `case when`."""
    WINDOW = "window"
    """It partitions or orders the rows that a function reads."""
    JOIN = "join"
    """A join compares it."""
    FILTER = "filter"
    """It decides which rows there are: WHERE, HAVING, QUALIFY, EXCEPT."""
    GROUP = "group"
    """Rows are grouped by it."""


class Column(NamedTuple):
    """A column of a node or source of dbt, or `ROWS`."""

    unique_id: str
    name: str


class Edge(msgspec.Struct, frozen=True, gc=False):
    """A use of one column in one model.

    `path` is the place inside of the JSON text in the column, such as `user_id` or
    `items[*].price`, and empty for the whole column. `expressions` are the steps of the query that
    are more than a name, from the origin on. `through` names the forms of `Forms` that the value
    passes.
    """

    origin: Column
    path: str
    target: Column
    kind: Kind
    expressions: tuple[str, ...]
    through: tuple[str, ...] = ()

    @property
    def expression(self) -> str:
        """The steps as one text; empty if the column is only passed on."""
        return " → ".join(self.expressions)


class Unresolved(msgspec.Struct, frozen=True, gc=False):
    """A column, or `ROWS`, whose origin is not known, with the reason."""

    target: Column
    reason: str


class ColumnLineage(msgspec.Struct, frozen=True, dict=True):
    """The lineage of a project: columns by node or source, in their order, and all edges.

    `recomputed` lists the nodes whose result was not in the cache.
    """

    columns: Mapping[str, Sequence[str]]
    edges: Sequence[Edge]
    unresolved: Sequence[Unresolved]
    recomputed: Sequence[str] = ()

    @cached_property
    def into(self) -> Mapping[Column, Sequence[Edge]]:
        """The edges by the column that they make."""
        found: dict[Column, list[Edge]] = {}
        for edge in self.edges:
            found.setdefault(edge.target, []).append(edge)
        return found

    def upstream(self, column: Column) -> set[Column]:
        """All columns of which values go into the column, directly or not."""
        seen: set[Column] = set()
        waiting = [column]
        while waiting:
            edges = self.into.get(waiting.pop(), ())
            new = {edge.origin for edge in edges if edge.kind is Kind.VALUE} - seen
            seen |= new
            waiting.extend(new)
        return seen
