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
from include.site.lineage.cache import key_of
from include.site.lineage.compiled import DIALECTS, compiled_manifest
from include.site.lineage.edges import Column, ColumnLineage
from include.site.lineage.personal_data import Mark, forms, personal_data
from include.site.lineage.project import column_lineage, kept_lineage

LINEAGE_FILE = "lineage.json"
"""What was found for each node; the next publication uses it again."""
KEY_FILE = "lineage.key"
"""A hash of all that `lineage.json` depends on."""


def project_lineage(
    settings: Settings, documents: Documents, manifest: Mapping[str, Any], folder: Path
) -> tuple[ColumnLineage, Mapping[Column, Mark]]:
    """The column lineage of the project, and the marks of personal data by column.

    If neither the project nor a setting has changed since the latest publication, its lineage is
    taken over. Otherwise the project is compiled, and what was found for a node is used again if
    its SQL has not changed.
    """
    kept, key = folder / LINEAGE_FILE, _key(settings)
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


def _key(settings: Settings) -> str:
    """A hash of all that the lineage of the project depends on."""
    return key_of(fingerprint(), metadata.version("sqlglot"), settings.as_environment())
