"""The column lineage of a table, as OpenLineage's facet `columnLineage` writes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from typing import NamedTuple

import sqlglot
from openlineage.client.facet_v2 import column_lineage_dataset as facets
from sqlglot import exp
from sqlglot.errors import SqlglotError

from include.site.lineage import ROWS, Column, ColumnLineage, Edge, Kind
from include.site.openlineage.names import DatasetName

INDIRECT = {
    Kind.CONDITION: "CONDITIONAL",
    Kind.WINDOW: "WINDOW",
    Kind.JOIN: "JOIN",
    Kind.FILTER: "FILTER",
    Kind.GROUP: "GROUP_BY",
}
"""OpenLineage's subtype of a column that does not give a value, by its use."""
AGGREGATE = re.compile(
    r"\b(?:sum|count|min|max|avg|median|mode|any_value|approx\w*|listagg|string_agg|bool_(?:and|or)"
    r"|percentile_(?:cont|disc)|stddev\w*|var\w*)\s*\(",
    re.IGNORECASE,
)
"""Finds the aggregates of SQL that is cut off, so that it cannot be parsed."""


class Use(NamedTuple):
    """How a column of a table is used. `is_masking` is true if a breaker ends its mark there."""

    origin: Column
    path: str
    kind: Kind
    expressions: tuple[str, ...]
    is_masking: bool


class Columns:
    """The column lineage of a project, for tables with names of OpenLineage.

    `name_of` returns the name of the table or folder with this id, and None if the run has none.
    `ephemeral` has the ids of the models that have no table. What they read is read by the models
    that use them. `masking` has the edges on which a breaker ends a mark of personal data.
    """

    def __init__(
        self,
        lineage: ColumnLineage,
        name_of: Callable[[str], DatasetName | None],
        ephemeral: Collection[str],
        masking: Collection[Edge],
        dialect: str,
    ) -> None:
        self._lineage = lineage
        self._name_of = name_of
        self._ephemeral = ephemeral
        self._masking = masking
        self._dialect = dialect

    def facet(self, unique_id: str) -> facets.ColumnLineageDatasetFacet | None:
        """The facet of the table of a node; None if no origin of its columns is known."""
        fields = {
            name: facets.Fields(inputFields=inputs)
            for name in self._lineage.columns.get(unique_id, ())
            if (inputs := self._inputs(self._uses(Column(unique_id, name))))
        }
        rows = self._inputs(self._uses(Column(unique_id, ROWS)))
        if not fields and not rows:
            return None
        return facets.ColumnLineageDatasetFacet(fields=fields, dataset=rows)

    def _uses(self, target: Column) -> Iterator[Use]:
        for edge in self._lineage.into.get(target, ()):
            is_masking = edge in self._masking
            if edge.origin.unique_id not in self._ephemeral:
                yield Use(edge.origin, edge.path, edge.kind, edge.expressions, is_masking)
                continue
            for use in self._uses(edge.origin):
                yield Use(
                    use.origin,
                    use.path,
                    use.kind if edge.kind is Kind.VALUE else edge.kind,
                    (*use.expressions, *edge.expressions),
                    use.is_masking or is_masking,
                )
        if target.name == ROWS:
            for parent in self._ephemeral_parents(target.unique_id):
                yield from self._uses(Column(parent, ROWS))

    def _ephemeral_parents(self, unique_id: str) -> set[str]:
        names = (*self._lineage.columns.get(unique_id, ()), ROWS)
        edges = (
            edge for name in names for edge in self._lineage.into.get(Column(unique_id, name), ())
        )
        return {edge.origin.unique_id for edge in edges} & set(self._ephemeral)

    def _inputs(self, uses: Iterable[Use]) -> list[facets.InputField]:
        found: dict[tuple[DatasetName, str], list[facets.Transformation]] = {}
        for use in uses:
            dataset = self._name_of(use.origin.unique_id)
            if dataset is None or use.origin.name == ROWS:
                continue
            steps = found.setdefault((dataset, use.origin.name), [])
            step = self._transformation(use)
            if step not in steps:
                steps.append(step)
        return [
            facets.InputField(*dataset, field=field, transformations=steps)
            for (dataset, field), steps in found.items()
        ]

    def _transformation(self, use: Use) -> facets.Transformation:
        text = " → ".join(use.expressions)
        if use.path:
            text = f"JSON path {use.path}" + (f": {text}" if text else "")
        is_direct = use.kind is Kind.VALUE
        return facets.Transformation(
            type="DIRECT" if is_direct else "INDIRECT",
            subtype=self._subtype(use) if is_direct else INDIRECT[use.kind],
            description=text or None,
            masking=use.is_masking,
        )

    def _subtype(self, use: Use) -> str:
        if any(aggregates(step, self._dialect) for step in use.expressions):
            return "AGGREGATION"
        return "TRANSFORMATION" if use.expressions or use.path else "IDENTITY"


@cache
def aggregates(expression: str, dialect: str) -> bool:
    """Whether an expression computes one value of many rows; a window function keeps the rows."""
    try:
        tree = sqlglot.parse_one(expression, dialect=dialect)
    except SqlglotError:
        return bool(AGGREGATE.search(expression))
    return any(not _is_windowed(node) for node in tree.find_all(exp.AggFunc))


def _is_windowed(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, exp.Filter | exp.IgnoreNulls | exp.RespectNulls | exp.WithinGroup):
        parent = parent.parent
    return isinstance(parent, exp.Window)
