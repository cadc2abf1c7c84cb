"""The page of an asset: results, policies, columns with what they are made of, last runs, SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from include.site import pages
from include.site.assets import Asset
from include.site.assets import Column as DeclaredColumn
from include.site.catalog.enforcement import Policy, State
from include.site.catalog.entries import Entry, layer
from include.site.catalog.outcomes import Outcome, PastRun
from include.site.lineage.edges import Column, ColumnLineage, Kind
from include.site.lineage.personal_data import Mark

BAR_WIDTH, CHART_HEIGHT = 9, 40
"""The width of a bar with its gap, and the height of the chart of the last runs, in pixels."""


@dataclass(frozen=True)
class Bar:
    """A run in the chart of an asset. `height` is in pixels; without a status it did not run."""

    x: int
    height: float
    status: str
    text: str


def bars(unique_id: str, history: Sequence[PastRun]) -> list[Bar]:
    """The bars of the last runs of an asset, whose heights are in proportion to the seconds."""
    longest = max(
        (run.outcomes[unique_id][1] for run in history if unique_id in run.outcomes), default=0
    )
    found = []
    for place, run in enumerate(history):
        status, seconds = run.outcomes.get(unique_id, ("", 0.0))
        share = seconds / longest if longest else 0
        text = f"{run.run_id}: {status or 'not built'}"
        found.append(
            Bar(
                x=place * BAR_WIDTH,
                height=max(3, round(share * CHART_HEIGHT, 1)),
                status=status,
                text=f"{text}, {seconds:.2f} s" if status else text,
            )
        )
    return found


@dataclass(frozen=True)
class ColumnEntry:
    """A column as the page of its asset shows it.

    `mark` says how personal it is, and `masking` whether it is masked; it is empty for a column
    that need not be. `made_of` are the columns that its value is taken or computed
    from, each with its asset and the expressions. `link` leads to it in the graph.
    """

    column: DeclaredColumn
    mark: Mark
    masking: State | Literal[""]
    made_of: Sequence[tuple[Asset, str, Sequence[str]]]
    link: str


def _columns(
    asset: Asset,
    entries: Mapping[str, Entry],
    lineage: ColumnLineage,
    marks: Mapping[Column, Mark],
    policies: Sequence[Policy],
) -> Iterator[ColumnEntry]:
    masking = {
        name: policy.state
        for policy in policies
        if policy.name == "Masking"
        for name in policy.columns
    }
    for declared in asset.columns:
        column = Column(asset.unique_id, declared.name.lower())
        steps: dict[Column, list[str]] = {}
        for edge in lineage.into.get(column, ()):
            # The lineage can be of a project that has other nodes than the run has built.
            if edge.kind is Kind.VALUE and edge.origin.unique_id in entries:
                found = steps.setdefault(edge.origin, [])
                path = f"JSON path {edge.path}" if edge.path else ""
                found += [text for text in (path, edge.expression) if text and text not in found]
        yield ColumnEntry(
            declared,
            marks.get(column, Mark.NONE),
            masking.get(column.name, ""),
            [(entries[origin.unique_id].asset, origin.name, steps[origin]) for origin in steps],
            f"../lineage.html#{quote(asset.page)}/{quote(column.name, safe='')}",
        )


def asset_page(
    run: Mapping[str, Any],
    entry: Entry,
    entries: Mapping[str, Entry],
    outcomes: Mapping[str, Outcome],
    history: Sequence[PastRun],
    lineage: ColumnLineage,
    marks: Mapping[Column, Mark],
    policies: Sequence[Policy],
) -> str:
    asset = entry.asset
    return pages.render(
        "asset.html",
        run=run,
        entry=entry,
        asset=asset,
        layer=layer(asset),
        upstream=[entries[unique_id].asset for unique_id in asset.upstream],
        downstream=[entries[unique_id].asset for unique_id in asset.downstream],
        columns=list(_columns(asset, entries, lineage, marks, policies)),
        policies=policies,
        tests=[(test, outcomes.get(test.unique_id)) for test in asset.tests],
        bars=bars(asset.unique_id, history),
        chart=(BAR_WIDTH * len(history), CHART_HEIGHT),
    )
