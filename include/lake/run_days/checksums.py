"""A checksum of every seed and of every incremental model's SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from include.lake.run_days.expiry import is_incremental
from include.manifest import Manifest
from include.settings import Settings


def logic_checksums(manifest: Manifest, settings: Settings) -> dict[str, str]:
    """A checksum per seed (its rows) and incremental model (its SQL, with views and macros)."""
    macros = manifest.content["macros"]
    checksums: dict[str, str] = {}
    for unique_id, node in manifest.nodes.items():
        if node["resource_type"] == "seed":
            checksums[unique_id] = node["checksum"]["checksum"]
        elif is_incremental(node):
            # A row without a currency has the reporting currency, as it was when it was built.
            digest = hashlib.sha256(settings.reporting_currency.encode())
            views = [
                ancestor
                for ancestor in manifest.ancestors(unique_id)
                if ancestor in manifest.nodes
                and manifest.nodes[ancestor]["config"]["materialized"] in {"view", "ephemeral"}
            ]
            used: set[str] = set()
            for member in sorted([unique_id, *views]):
                digest.update(manifest.nodes[member]["checksum"]["checksum"].encode())
                used |= set(manifest.nodes[member]["depends_on"]["macros"])
            waiting = list(used)
            while waiting:
                new = set(macros[waiting.pop()]["depends_on"]["macros"]) - used
                used |= new
                waiting.extend(new)
            for macro in sorted(used):
                if macros[macro]["package_name"] == node["package_name"]:
                    digest.update(macros[macro]["macro_sql"].encode())
            checksums[unique_id] = digest.hexdigest()
    return checksums


def sources_of_changed_seeds(manifest: Manifest, changed: Iterable[str]) -> set[str]:
    """The partitioned sources whose days an incremental model must replace, as its seed changed."""
    seeds = {node for node in changed if node.startswith("seed.")}
    return {
        source
        for unique_id, node in manifest.nodes.items()
        if is_incremental(node) and seeds & set(manifest.ancestors(unique_id))
        for source in node["config"]["meta"]["replaced_days"]["sources"]
    }
