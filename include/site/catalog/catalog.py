"""Writes the catalog: `catalog.html` with all assets, and `catalog/<asset>.html` for each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from include.object_store import open_documents
from include.settings import Settings, UserError
from include.site import pages, runs
from include.site.assets import FOLDER as FOLDER_ID
from include.site.assets import Asset, read_assets
from include.site.catalog.asset_page import asset_page
from include.site.catalog.enforcement import Policy, Protection
from include.site.catalog.entries import Entry, layer, layer_order
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
from include.site.catalog.project_lineage import project_lineage
from include.site.catalog.rules import read_expirations, read_rules
from include.site.catalog.sizes import Size, folder_sizes, table_sizes
from include.site.lineage.edges import Column
from include.site.lineage.page import lineage_page
from include.site.lineage.personal_data import Mark
from include.warehouse.database import open_database

FOLDER = "catalog"
"""The folder with the pages of the assets, beside `catalog.html`."""
LOCK_SECONDS = 20
SUMMARIES = (
    ("Marts", "Grants", "Grants of the marts"),
    ("Marts", "Masking", "Masking of identifiers in the marts"),
    ("Lake", "Retention", "Retention of personal data in the lake"),
)
"""The policies that `catalog.html` counts by state: layer, policy and title."""
SCRIPT = (Path(__file__).parent / "search.js").read_text()


def write_catalog(settings: Settings, folder: Path) -> list[str]:
    """Write catalog and lineage of a run into the folder with its artifacts.

    Returns notes about what the pages lack: sizes and rules if the warehouse cannot be read, and
    new lineage if a model does not compile. Raises UserError if DOCS cannot be read.
    """
    run = json.loads((folder / runs.RUN_FILE).read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    types = folder / "catalog.json"
    assets = read_assets(manifest, json.loads(types.read_text()) if types.is_file() else {})
    results = json.loads((folder / "run_results.json").read_text())
    freshness = read_freshness(json.loads((folder / "sources.json").read_text()))
    outcomes = read_outcomes(results)
    sizes, notes = _sizes(settings, assets.values())
    entries = {
        unique_id: _entry(asset, outcomes, sizes.get(unique_id, Size()), freshness)
        for unique_id, asset in assets.items()
    }
    statuses = {
        unique_id: (entry.status, entry.outcome.seconds if entry.outcome else 0.0)
        for unique_id, entry in entries.items()
        if entry.status
    }
    (folder / OUTCOMES_FILE).write_text(to_file(statuses))
    documents = open_documents(settings.docs, settings.docs_owner)
    published = [past for past in runs.published_runs(documents) if past.run_id != run["run_id"]]
    history = [
        *past_runs(documents, published[: SHOWN_RUNS - 1]),
        PastRun(run["run_id"], statuses),
    ]
    lineage, marks, more = project_lineage(settings, documents, manifest, folder)
    index, graph = folder / "catalog.html", folder / "lineage.html"
    protection, unread = _protection(settings)
    by_table: dict[str, dict[str, Mark]] = {}
    for column, mark in marks.items():
        by_table.setdefault(column.unique_id, {})[column.name] = mark
    policies = {
        # A folder has the marks of its external table.
        unique_id: protection.policies(asset, by_table.get(unique_id.removeprefix(FOLDER_ID), {}))
        for unique_id, asset in assets.items()
    }
    index.write_text(_index_page(run, entries.values(), marks, policies))
    graph.write_text(lineage_page(run, assets, lineage))
    (folder / FOLDER).mkdir()
    for entry in entries.values():
        found = policies[entry.asset.unique_id]
        page = asset_page(run, entry, entries, outcomes, history, lineage, marks, found)
        (folder / FOLDER / f"{entry.asset.page}.html").write_text(page)
    return notes + unread + more


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


def _sizes(settings: Settings, assets: Iterable[Asset]) -> tuple[dict[str, Size], list[str]]:
    """The sizes by the assets' ids, and notes about those that cannot be read."""
    found: dict[str, Size] = {}
    notes: list[str] = []
    by_kind: dict[bool, Mapping[str, Size]] = {}
    for is_folder, read in ((False, table_sizes), (True, folder_sizes)):
        what = "folders" if is_folder else "tables"
        try:
            with open_database(settings, timeout_seconds=LOCK_SECONDS, read_only=True) as database:
                by_kind[is_folder] = read(database, settings)
        except (UserError, duckdb.Error) as error:
            print(f"warning: the catalog shows no sizes of {what}: {error}", flush=True)
            notes.append(f"the sizes of the {what} could not be read: see the log of publish")
    for asset in assets:
        sizes = by_kind.get(asset.kind == "folder", {})
        if size := sizes.get(asset.location.rstrip("/")):
            found[asset.unique_id] = size
    return found, notes


def _protection(settings: Settings) -> tuple[Protection, list[str]]:
    """What is known of the rules that protect the data, and notes about what cannot be read."""
    rules, notes = None, []
    if settings.target == "redshift":
        try:
            with open_database(settings, timeout_seconds=LOCK_SECONDS, read_only=True) as database:
                rules = read_rules(database)
        except UserError as error:
            print(f"warning: the catalog shows no grants and no masking: {error}", flush=True)
            notes.append("grants and masking could not be read: see the log of publish")
    return Protection(settings, rules, read_expirations(settings)), notes


def _index_page(
    run: Mapping[str, Any],
    entries: Iterable[Entry],
    marks: Mapping[Column, Mark],
    policies: Mapping[str, Sequence[Policy]],
) -> str:
    largest: dict[str, Mark] = {}
    for (unique_id, _), mark in marks.items():
        largest[unique_id] = max(mark, largest.get(unique_id, Mark.NONE))
    by_layer: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (layer_order(entry.asset), entry.asset.name)):
        by_layer.setdefault(layer(entry.asset), []).append(entry)
    states: dict[str, Counter[str]] = {}
    for asset_layer, name, title in SUMMARIES:
        states[title] = Counter(
            policy.state
            for entry in by_layer.get(asset_layer, ())
            for policy in policies[entry.asset.unique_id]
            if policy.name == name
        )
    return pages.render(
        "catalog.html", script=SCRIPT, run=run, layers=by_layer, marks=largest, states=states
    )
