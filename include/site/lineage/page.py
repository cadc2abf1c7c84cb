"""Writes `lineage.html`: the graph of data sets, and the graph of one column on request.

The page holds the whole graph as one block of JSON, so it needs no server. Each text occurs once in
it, and an edge is five numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from include.site import pages
from include.site.assets import Asset
from include.site.lineage.edges import ROWS, Column, ColumnLineage, Kind

KINDS = tuple(Kind)
SCRIPT = (Path(__file__).parent / "lineage.js").read_text()


def lineage_page(
    run: Mapping[str, Any], assets: Mapping[str, Asset], lineage: ColumnLineage
) -> str:
    """The page for the assets of a run. Columns that could not be resolved are listed in it."""
    unresolved = [
        (assets[one.target.unique_id], one)
        for one in lineage.unresolved
        if one.target.unique_id in assets
    ]
    return pages.render(
        "lineage.html", run=run, data=graph(assets, lineage), script=SCRIPT, unresolved=unresolved
    )


def graph(assets: Mapping[str, Asset], lineage: ColumnLineage) -> dict[str, Any]:
    """The graph as the script of the page reads it.

    `nodes` are the assets with their columns and their rank: the number of steps from a folder or
    seed. `links` are pairs of places in `nodes`. `edges` are lists of origin, target, kind, JSON
    path and expression. Columns are numbered through all nodes, kinds and texts by their place in
    `kinds` and `texts`.
    """
    uses_rows = {edge.target.unique_id for edge in lineage.edges if edge.target.name == ROWS}
    columns = {
        unique_id: _columns(unique_id, asset, lineage) + ([ROWS] if unique_id in uses_rows else [])
        for unique_id, asset in assets.items()
    }
    numbers: dict[Column, int] = {}
    for unique_id, names in columns.items():
        for name in names:
            numbers[Column(unique_id, name)] = len(numbers)
    texts: dict[str, int] = {"": 0}
    edges = [
        [
            numbers[edge.origin],
            numbers[edge.target],
            KINDS.index(edge.kind),
            texts.setdefault(edge.path, len(texts)),
            texts.setdefault(edge.expression, len(texts)),
        ]
        for edge in lineage.edges
        # The lineage can be of a project that has other nodes than the run has built.
        if edge.origin in numbers and edge.target in numbers
    ]
    places = {unique_id: place for place, unique_id in enumerate(assets)}
    ranks = _ranks(assets)
    return {
        "nodes": [
            {
                "name": asset.name,
                "kind": asset.kind,
                "page": asset.page,
                "layer": asset.kind.replace(" ", "-"),
                "rank": ranks[unique_id],
                "columns": columns[unique_id],
            }
            for unique_id, asset in assets.items()
        ],
        "links": [
            [places[parent], places[unique_id]]
            for unique_id, asset in assets.items()
            for parent in asset.upstream
        ],
        "kinds": KINDS,
        "texts": list(texts),
        "edges": edges,
    }


def _columns(unique_id: str, asset: Asset, lineage: ColumnLineage) -> list[str]:
    """The columns of the query of a node, in its order; those that are declared for a source."""
    return list(lineage.columns.get(unique_id) or [column.name.lower() for column in asset.columns])


def _ranks(assets: Mapping[str, Asset]) -> dict[str, int]:
    """The length of the longest path to each asset. dbt has refused a project with a circle."""
    ranks: dict[str, int] = {}
    waiting = list(assets)
    while waiting:
        unique_id = waiting[-1]
        parents: Sequence[str] = assets[unique_id].upstream
        missing = [parent for parent in parents if parent not in ranks]
        if missing:
            waiting += missing
        else:
            ranks[unique_id] = 1 + max((ranks[parent] for parent in parents), default=-1)
            waiting.pop()
    return ranks
