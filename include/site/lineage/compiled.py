"""Compiles the dbt project, so that lineage does not depend on which nodes a run has built."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from include.manifest import dbt_arguments
from include.settings import Settings, UserError

DIALECTS = {"local": "duckdb", "redshift": "redshift"}
"""sqlglot's dialect by target."""


def compiled_manifest(settings: Settings) -> dict[str, Any]:
    """The manifest with the compiled SQL of all nodes and analyses.

    The SQL is that of a full refresh, and the warehouse is not asked for anything. Raises UserError
    if a model does not compile, or if dbt is not installed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            ended = subprocess.run(
                [
                    *(settings.dbt_executable, "--quiet", "--no-use-colors", "compile"),
                    *("--no-introspect", "--no-populate-cache", "--full-refresh"),
                    *dbt_arguments(settings, Path(scratch)),
                ],
                env={**os.environ, **settings.as_environment()},
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise UserError(f"dbt cannot compile the project: {error}") from None
        if ended.returncode:
            output = (ended.stdout + ended.stderr).strip()
            raise UserError(f"dbt cannot compile the project: {output}")
        manifest: dict[str, Any] = json.loads((Path(scratch) / "manifest.json").read_text())
        return manifest
