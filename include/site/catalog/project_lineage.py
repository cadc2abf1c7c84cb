"""The column lineage and the personal data of the project, as a publication shows them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from include.manifest import fingerprint
from include.object_store import Documents
from include.settings import Settings, UserError
from include.site import runs
from include.site.lineage.cache import code_hash, key_of
from include.site.lineage.compiled import DIALECTS, compiled_manifest
from include.site.lineage.edges import Column, ColumnLineage
from include.site.lineage.personal_data import Mark, forms, personal_data
from include.site.lineage.project import column_lineage, kept_lineage

LINEAGE_FILE = "lineage.json"
"""What was found for each node; the next publication uses it again."""
KEY_FILE = "lineage.key"
"""A hash of all that `lineage.json` depends on."""
NOT_COMPILED = (
    "dbt cannot compile the project: lineage and personal data are those of the publication "
    "before, and are missing if there is none; see the log of the task publish"
)


def project_lineage(
    settings: Settings, documents: Documents, manifest: Mapping[str, Any], folder: Path
) -> tuple[ColumnLineage, Mapping[Column, Mark], list[str]]:
    """The column lineage of the project, the marks of personal data, and notes on what is missing.

    If neither the project nor a setting has changed since the latest publication, its lineage is
    taken over. Otherwise the project is compiled, and what was found for a node is used again if
    its SQL has not changed. If it does not compile, the lineage of the latest publication is shown,
    so that no mark is lost.
    """
    kept, key = folder / LINEAGE_FILE, _key(settings)
    notes: list[str] = []
    before = _latest(documents, KEY_FILE), _latest(documents, LINEAGE_FILE)
    kept.write_bytes(before[1] or b"{}")
    if before[0] == key.encode():
        lineage = kept_lineage(manifest, kept)
    else:
        try:
            compiled = compiled_manifest(settings)
            dialect = DIALECTS[settings.target]
            found = forms(compiled, dialect)
            lineage = column_lineage(compiled, dialect, forms=found, cache_file=kept)
            manifest = compiled
        except UserError as error:
            print(f"warning: {error}", flush=True)
            lineage, key = kept_lineage(manifest, kept), ""
            notes.append(NOT_COMPILED)
    (folder / KEY_FILE).write_text(key)
    if lineage.unresolved:
        notes.append(f"the origin of {len(lineage.unresolved)} columns is not known: see Lineage")
    return lineage, personal_data(manifest, lineage).marks, notes


def _latest(documents: Documents, name: str) -> bytes | None:
    """A file of the latest publication; None if there is none."""
    latest = runs.latest_publication(documents)
    return documents.read(f"{latest}/{name}") if latest else None


def _key(settings: Settings) -> str:
    """A hash of all that the lineage of the project depends on."""
    return key_of(
        fingerprint(), code_hash(), metadata.version("sqlglot"), settings.as_environment()
    )
