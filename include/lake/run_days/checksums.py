"""Checksums of the seeds and incremental models, by which a run finds what was changed in dbt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from include.lake.run_days.expiry import has_changed_keys, replaced_days
from include.manifest import Manifest
from include.settings import Settings


def logic_checksums(manifest: Manifest, settings: Settings) -> dict[str, str]:
    """The checksum of each seed (its rows) and each model that a run builds in part (its SQL), by
    unique id.

    The SQL of a model includes that of the views that it reads and of the macros that they use.
    """
    checksums: dict[str, str] = {}
    for unique_id, node in manifest.nodes.items():
        if node["resource_type"] == "seed":
            checksums[unique_id] = node["checksum"]["checksum"]
        elif replaced_days(node) or has_changed_keys(node):
            checksums[unique_id] = _model_checksum(manifest, settings, unique_id)
    return checksums


def _model_checksum(manifest: Manifest, settings: Settings, unique_id: str) -> str:
    # A row without a currency is stored in the reporting currency at the time of its build.
    digest = hashlib.sha256(settings.reporting_currency.encode())
    # Rows of events that are older were not built.
    digest.update(settings.earliest_date.encode())
    views = [
        ancestor
        for ancestor in manifest.ancestors(unique_id)
        if ancestor in manifest.nodes
        and manifest.nodes[ancestor]["config"]["materialized"] in {"view", "ephemeral"}
    ]
    macros: set[str] = set()
    for member in sorted([unique_id, *views]):
        node = manifest.nodes[member]
        digest.update(node["checksum"]["checksum"].encode())
        macros |= set(node["depends_on"]["macros"])
    package = manifest.nodes[unique_id]["package_name"]
    for macro in _own_macros(manifest.content["macros"], macros, package):
        digest.update(macro["macro_sql"].encode())
    return digest.hexdigest()


def _own_macros(
    declared: Mapping[str, Any], names: Iterable[str], package: str
) -> list[Mapping[str, Any]]:
    """The macros of a package among the named ones and those that they call, sorted by name."""
    used = set(names)
    waiting = list(used)
    while waiting:
        called = set(declared[waiting.pop()]["depends_on"]["macros"]) - used
        used |= called
        waiting.extend(called)
    return [declared[name] for name in sorted(used) if declared[name]["package_name"] == package]


def sources_of_changed_seeds(manifest: Manifest, changed: Iterable[str]) -> set[str]:
    """The names of the sources whose every day is touched because a seed has changed.

    `changed` are unique ids of seeds and models. The sources are those of the incremental models
    that depend on one of these seeds.
    """
    seeds = {node for node in changed if node.startswith("seed.")}
    return {
        source
        for unique_id, node in manifest.nodes.items()
        if (replaced := replaced_days(node)) and seeds & set(manifest.ancestors(unique_id))
        for source in replaced["sources"]
    }
