"""Which sources are stale, by `dbt source freshness` on the lake's listing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from include.artifacts import run_folder, write_files
from include.lake.run_days.tables import operations_schema
from include.lake.sources import sources
from include.manifest import MANIFEST, Manifest, dbt_arguments
from include.object_store import open_documents
from include.settings import Settings, UserError
from include.warehouse.database import open_database

ANSWERS = frozenset({"pass", "warn", "error"})
"""dbt's statuses of a source whose freshness it could determine; `error` means stale."""


RunDbt = Callable[[Sequence[str]], object]
"""Runs dbt with these arguments. It raises nothing, because dbt's results are read instead."""
FOLDER = "freshness"
"""The folder of dbt's results and of the manifest, in the folder of the run."""


def reported_stale_sources(
    settings: Settings, manifest: Manifest, run_id: str, run_dbt: RunDbt | None = None
) -> list[str]:
    """The ids of the stale sources, after writing dbt's results and the manifest into DOCS.

    Without a `run_id` nothing is written. If the files cannot be written, a warning is printed: the
    pages of the run then lack them. Raises UserError as `stale_sources` does.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            return stale_sources(settings, manifest, Path(folder), run_dbt)
        finally:
            if run_id:
                _write_report(settings, run_id, Path(folder) / "sources.json")


def _write_report(settings: Settings, run_id: str, results: Path) -> None:
    files = {path.name: path for path in (results, MANIFEST) if path.is_file()}
    try:
        root = f"{settings.docs}/{run_folder(run_id)}/{FOLDER}"
        error = write_files(open_documents(root, settings.docs_owner), files)
    except UserError as refused:
        error = str(refused)
    if error:
        print(f"warning: the freshness of the sources is not published: {error}", file=sys.stderr)


def stale_sources(
    settings: Settings,
    manifest: Manifest,
    artifacts: Path | None = None,
    run_dbt: RunDbt | None = None,
) -> list[str]:
    """The unique ids of the sources that are older than their `error_after` allows.

    If a folder `artifacts` is given, dbt writes its `sources.json` there. `run_dbt` runs dbt in a
    process that has already imported it; without it a process of dbt is started. A source without
    listed or built files is left out, because it is no error and dbt would report it as stale.
    Raises UserError if dbt cannot determine the freshness of a source.
    """
    schema = operations_schema(settings)
    with open_database(settings) as database:
        # A listing limited by LATE_DAYS leaves out a source without files since then. Such a source
        # has built partitions, and may be stale.
        rows = database.rows(
            f"select source from {schema}.listed_partitions "
            f"union select source from {schema}.built_partitions"
        )
    present = {source for (source,) in rows}
    asked = [
        source.unique_id
        for source in sources(manifest)
        if source.name in present
        and _has_rule(manifest.content["sources"][source.unique_id]["freshness"])
    ]
    if not asked:
        return []
    project = manifest.content["metadata"]["project_name"]
    selectors = [unique_id.replace(f".{project}.", ":", 1) for unique_id in asked]
    # dbt also writes a manifest, which must not replace the one that Airflow reads.
    with tempfile.TemporaryDirectory() as scratch:
        results = _dbt_freshness(
            selectors, artifacts or Path(scratch), settings, run_dbt or _process_of(settings)
        )
    statuses = {result["unique_id"]: result["status"] for result in results}
    # dbt leaves a source whose query fails out of its results, so its absence is the error.
    broken = [unique_id for unique_id in asked if statuses.get(unique_id) not in ANSWERS]
    if broken:
        raise UserError(
            f"dbt could not determine the freshness of {', '.join(broken)}: repair what its error "
            "above names (the source's `loaded_at_query` or `freshness`, or the warehouse), and "
            "run again."
        )
    return sorted(unique_id for unique_id, status in statuses.items() if status == "error")


def _has_rule(freshness: Mapping[str, Any] | None) -> bool:
    """Whether dbt determines the freshness of a source with this entry in the manifest.

    For a source without a rule, the entry is null or holds thresholds without a count.
    """
    limits = ((freshness or {}).get(name) or {} for name in ("warn_after", "error_after"))
    return any(limit.get("count") is not None and limit.get("period") for limit in limits)


def _process_of(settings: Settings) -> RunDbt:
    """Run dbt in a process of its own, whose output goes to the error output of this one."""

    def run(arguments: Sequence[str]) -> None:
        subprocess.run(
            [settings.dbt_executable, *arguments],
            env={**os.environ, **settings.as_environment()},
            stdout=sys.stderr,
            check=False,
        )

    return run


def _dbt_freshness(
    selectors: list[str], target: Path, settings: Settings, run_dbt: RunDbt
) -> list[dict[str, Any]]:
    """The results of `dbt source freshness`, which writes its artifacts to the folder `target`."""
    # A file of an earlier try would hold results that this one did not find.
    (target / "sources.json").unlink(missing_ok=True)
    # Exit code 1 means an error or a stale source, so the results are read instead.
    run_dbt(
        ["source", "freshness", "--select", *selectors, *dbt_arguments(settings, target)],
    )
    written = target / "sources.json"
    if not written.exists():
        raise UserError(
            "dbt could not determine the freshness of the sources: repair what its error above "
            "names, and run again."
        )
    found: list[dict[str, Any]] = json.loads(written.read_bytes())["results"]
    return found
