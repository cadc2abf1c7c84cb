"""Writes the catalog: `catalog.html` with all assets, and `catalog/<asset>.html` for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb

from include.manifest import fingerprint
from include.object_store import Documents, open_documents
from include.settings import Settings, UserError
from include.site import pages, runs
from include.site.assets import Asset, read_assets
from include.site.assets import Column as DeclaredColumn
from include.site.catalog.outcomes import (
    OUTCOMES_FILE,
    SHOWN_RUNS,
    Outcome,
    PastRun,
    past_runs,
    read_freshness,
    read_outcomes,
    to_file,
    worst,
)
from include.site.catalog.sizes import Size, folder_sizes, table_sizes
from include.site.lineage.cache import key_of
from include.site.lineage.compiled import DIALECTS, compiled_manifest
from include.site.lineage.edges import Column, ColumnLineage, Kind
from include.site.lineage.page import lineage_page
from include.site.lineage.personal_data import Mark, forms, personal_data, policies
from include.site.lineage.project import column_lineage, kept_lineage
from include.warehouse.database import open_database

LINEAGE_FILE = "lineage.json"
"""What was found for each node; the next publication uses it again."""
KEY_FILE = "lineage.key"
"""A hash of all that `lineage.json` depends on."""
FOLDER = "catalog"
"""The folder with the pages of the assets, beside `catalog.html`."""
LOCK_SECONDS = 20
BAR_WIDTH, CHART_HEIGHT = 9, 40
"""The width of a bar with its gap, and the height of the chart of the last runs, in pixels."""
LAYERS = ("Lake", "External tables", "Seeds", "Staging", "Intermediate", "Snapshots", "Marts")
"""The layers in the order in which data flows. Other schemas follow, and exposures are last."""
SCRIPT = (Path(__file__).parent / "search.js").read_text()


@dataclass(frozen=True)
class Entry:
    """What the catalog shows of an asset: the asset, how it ended in this run, and its size.

    `status` is the worst of the asset's own and of its tests, empty if the run built and tested
    neither. `freshness` is dbt's status of a source in this run.
    """

    asset: Asset
    outcome: Outcome | None
    status: str
    size: Size
    freshness: str

    @property
    def summary(self) -> str:
        """The first sentence of the definition."""
        return self.asset.description.partition(". ")[0].rstrip(".") + "."

    @property
    def search(self) -> str:
        """The text in which the search looks."""
        asset = self.asset
        columns = (column.name for column in asset.columns)
        words = (asset.name, asset.kind, asset.location, asset.owner.name, *asset.tags, *columns)
        return " ".join(words).lower()


def write_catalog(settings: Settings, folder: Path) -> list[Path]:
    """Write catalog and lineage of a run into the folder with its artifacts; returns both pages.

    What cannot be found is left out with a warning: the sizes without the warehouse, the last runs
    without DOCS, and column lineage if a model does not compile.
    """
    run = json.loads((folder / runs.RUN_FILE).read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    assets = read_assets(manifest)
    results = json.loads((folder / "run_results.json").read_text())
    freshness = json.loads((folder / "sources.json").read_text())
    outcomes = read_outcomes(results)
    sizes = _sizes(settings, assets.values())
    entries = {
        unique_id: _entry(asset, outcomes, sizes.get(unique_id, Size()), read_freshness(freshness))
        for unique_id, asset in assets.items()
    }
    statuses = {
        unique_id: (entry.status, entry.outcome.seconds if entry.outcome else 0.0)
        for unique_id, entry in entries.items()
        if entry.status
    }
    (folder / OUTCOMES_FILE).write_text(to_file(statuses))
    documents = open_documents(settings.docs, settings.docs_owner)
    published = _published(documents, run["run_id"])
    history = [
        *past_runs(documents, published[: SHOWN_RUNS - 1]),
        PastRun(run["run_id"], run["published_at"], "", statuses),
    ]
    lineage, marks = _lineage(settings, documents, manifest, folder)
    index, graph = folder / "catalog.html", folder / "lineage.html"
    index.write_text(_index_page(run, entries.values(), marks))
    graph.write_text(lineage_page(run, assets, lineage))
    (folder / FOLDER).mkdir()
    for entry in entries.values():
        page = _asset_page(run, entry, entries, outcomes, history, lineage, marks)
        (folder / FOLDER / f"{entry.asset.page}.html").write_text(page)
    return [index, graph]


def _lineage(
    settings: Settings, documents: Documents, manifest: Mapping[str, Any], folder: Path
) -> tuple[ColumnLineage, Mapping[Column, Mark]]:
    """The column lineage of the project, and the marks of personal data by column.

    If neither the project nor a setting has changed since the latest publication, its lineage is
    taken over. Otherwise the project is compiled, and what was found for a node is used again if
    its SQL has not changed.
    """
    kept, key = folder / LINEAGE_FILE, _lineage_key(settings)
    try:
        latest = runs.latest_publication(documents)
        kept.write_bytes(documents.read(f"{latest}/{LINEAGE_FILE}") or b"{}")
        if documents.read(f"{latest}/{KEY_FILE}") == key.encode():
            lineage = kept_lineage(manifest, kept)
        else:
            manifest = compiled_manifest(settings)
            dialect = DIALECTS[settings.target]
            lineage = column_lineage(
                manifest, dialect, forms=forms(manifest, dialect), cache_file=kept
            )
        (folder / KEY_FILE).write_text(key)
    except UserError as error:
        print(f"warning: no column lineage is published: {error}", flush=True)
        return ColumnLineage({}, (), ()), {}
    return lineage, personal_data(manifest, lineage).marks


def _lineage_key(settings: Settings) -> str:
    """A hash of all that the lineage of the project depends on."""
    return key_of(fingerprint(), metadata.version("sqlglot"), settings.as_environment())


def _published(documents: Documents, run_id: str) -> list[runs.Run]:
    """The published runs before this one; empty if DOCS cannot be read."""
    try:
        return [run for run in runs.published_runs(documents) if run.run_id != run_id]
    except UserError as error:
        print(f"warning: the catalog shows no runs before this one: {error}", flush=True)
        return []


def _entry(
    asset: Asset,
    outcomes: Mapping[str, Outcome],
    size: Size,
    freshness: Mapping[str, str],
) -> Entry:
    outcome = outcomes.get(asset.unique_id)
    ended = [outcomes[test.unique_id] for test in asset.tests if test.unique_id in outcomes]
    statuses = [one.status for one in ([outcome] if outcome else []) + ended]
    return Entry(asset, outcome, worst(statuses), size, freshness.get(asset.unique_id, ""))


def _sizes(settings: Settings, assets: Iterable[Asset]) -> dict[str, Size]:
    """The sizes by the assets' ids; empty if the warehouse cannot be read."""
    try:
        with open_database(settings, timeout_seconds=LOCK_SECONDS, read_only=True) as database:
            tables = table_sizes(database, settings)
            folders = folder_sizes(database, settings)
    except (UserError, duckdb.Error) as error:
        print(f"warning: the catalog shows no sizes: {error}", flush=True)
        return {}
    found = {}
    for asset in assets:
        by_name = folders if asset.kind == "folder" else tables
        if size := by_name.get(asset.location.rstrip("/")):
            found[asset.unique_id] = size
    return found


def _index_page(
    run: Mapping[str, Any], entries: Iterable[Entry], marks: Mapping[Column, Mark]
) -> str:
    largest: dict[str, Mark] = {}
    for (unique_id, _), mark in marks.items():
        largest[unique_id] = max(mark, largest.get(unique_id, Mark.NONE))
    by_layer: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (_layer_order(entry.asset), entry.asset.name)):
        by_layer.setdefault(layer(entry.asset), []).append(entry)
    return pages.render("catalog.html", script=SCRIPT, run=run, layers=by_layer, marks=largest)


@dataclass(frozen=True)
class Bar:
    """A run in the chart of an asset. `height` is in pixels; without a status it did not run."""

    x: int
    height: float
    status: str
    text: str
    page: str


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
                page=run.page,
            )
        )
    return found


def layer(asset: Asset) -> str:
    """The layer of an asset, under which the catalog lists it."""
    by_kind = {
        "folder": "Lake",
        "external table": "External tables",
        "seed": "Seeds",
        "snapshot": "Snapshots",
        "exposure": "Exposures",
    }
    if asset.kind in by_kind:
        return by_kind[asset.kind]
    folder = asset.file.removeprefix("dbt/models/").partition("/")[0]
    return folder.capitalize()


def _layer_order(asset: Asset) -> tuple[int, str]:
    name = layer(asset)
    if name == "Exposures":
        return len(LAYERS) + 1, name
    return LAYERS.index(name) if name in LAYERS else len(LAYERS), name


@dataclass(frozen=True)
class ColumnEntry:
    """A column as the page of its asset shows it.

    `mark` says how personal it is. `made_of` are the columns that its value is taken or computed
    from, each with its asset and the expressions. `link` leads to it in the graph.
    """

    column: DeclaredColumn
    mark: Mark
    made_of: Sequence[tuple[Asset, str, Sequence[str]]]
    link: str


def _columns(
    asset: Asset,
    entries: Mapping[str, Entry],
    lineage: ColumnLineage,
    marks: Mapping[Column, Mark],
) -> Iterator[ColumnEntry]:
    for declared in asset.columns:
        column = Column(asset.unique_id, declared.name.lower())
        steps: dict[Column, list[str]] = {}
        for edge in lineage.into.get(column, ()):
            if edge.kind is Kind.VALUE:
                found = steps.setdefault(edge.origin, [])
                path = f"JSON path {edge.path}" if edge.path else ""
                found += [text for text in (path, edge.expression) if text and text not in found]
        yield ColumnEntry(
            declared,
            marks.get(column, Mark.NONE),
            [(entries[origin.unique_id].asset, origin.name, steps[origin]) for origin in steps],
            f"../lineage.html#{quote(asset.page)}/{quote(column.name, safe='')}",
        )


def _asset_page(
    run: Mapping[str, Any],
    entry: Entry,
    entries: Mapping[str, Entry],
    outcomes: Mapping[str, Outcome],
    history: Sequence[PastRun],
    lineage: ColumnLineage,
    marks: Mapping[Column, Mark],
) -> str:
    asset = entry.asset
    columns = list(_columns(asset, entries, lineage, marks))
    by_mark = {
        mark: [column.column.name for column in columns if column.mark is mark]
        for mark in (Mark.IDENTIFIER, Mark.QUASI_IDENTIFIER)
    }
    return pages.render(
        "asset.html",
        run=run,
        entry=entry,
        asset=asset,
        layer=layer(asset),
        upstream=[entries[unique_id].asset for unique_id in asset.upstream],
        downstream=[entries[unique_id].asset for unique_id in asset.downstream],
        columns=columns,
        policies=[(mark, names, policies()[mark]) for mark, names in by_mark.items() if names],
        tests=[(test, outcomes.get(test.unique_id)) for test in asset.tests],
        bars=bars(asset.unique_id, history),
        chart=(BAR_WIDTH * len(history), CHART_HEIGHT),
    )
