"""Which sources are stale, by `dbt source freshness` on the lake's listing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from include.lake.sources import sources
from include.manifest import Manifest, dbt_arguments
from include.settings import Settings, UserError
from include.warehouse.database import open_database


def stale_sources(
    settings: Settings, manifest: Manifest, artifacts: Path | None = None
) -> list[str]:
    """The unique ids of the sources that are past their `error_after`.

    dbt's `sources.json` stays in the folder `artifacts`, if one is given.

    A source without files is no error and has no freshness: dbt would call it infinitely stale, so
    it is not asked about. Raises UserError if dbt could not tell.
    """
    schema = f"{settings.schema_prefix}operations"
    with open_database(settings) as database:
        # The bound on late days leaves a source out that has been silent for longer.
        rows = database.rows(
            f"select source from {schema}.listed_partitions "
            f"union select source from {schema}.built_partitions"
        )
    present = {source for (source,) in rows}
    selectors = [
        unique_id.replace(f".{manifest.content['metadata']['project_name']}.", ":", 1)
        for unique_id in (
            source.unique_id for source in sources(manifest) if source.name in present
        )
        if manifest.content["sources"][unique_id]["freshness"]
    ]
    if not selectors:
        return []
    # Apart from the manifest that Airflow reads.
    with tempfile.TemporaryDirectory() as scratch:
        found = _asked(settings, selectors, artifacts or Path(scratch))
    broken = [result["unique_id"] for result in found if result["status"] == "runtime error"]
    if broken:
        raise UserError(
            f"dbt could not tell the freshness of {', '.join(broken)}; its error stands above."
        )
    return sorted(result["unique_id"] for result in found if result["status"] == "error")


def _asked(settings: Settings, selectors: list[str], target: Path) -> list[dict[str, Any]]:
    """dbt's results; its artifacts are in the folder."""
    # Exit code 1 also means "stale": the results tell the difference.
    subprocess.run(
        [
            *(settings.dbt_executable, "source", "freshness", "--select", *selectors),
            *dbt_arguments(settings, target),
        ],
        env={**os.environ, **settings.as_environment()},
        stdout=sys.stderr,
        check=False,
    )
    results = target / "sources.json"
    if not results.exists():
        raise UserError("dbt could not tell the freshness of the sources; its error stands above.")
    found: list[dict[str, Any]] = json.loads(results.read_bytes())["results"]
    return found
