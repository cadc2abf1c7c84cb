"""The dbt project, compiled for one engine without a warehouse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from include.settings import ROOT

DIALECTS = {"local": "duckdb", "redshift": "redshift"}
"""sqlglot's dialect of each target of the project."""


def compiled_manifest(target: str, folder: Path) -> dict[str, Any]:
    """Compile all nodes as a full refresh does, and return the content of the manifest."""
    environment = {
        name: value for name, value in os.environ.items() if "GAME_ANALYTICS_" not in name
    }
    compiled = subprocess.run(
        [
            str(Path(sys.executable).parent / "dbt"),
            *("--quiet", "--no-use-colors", "compile", "--target", target),
            *("--no-introspect", "--no-populate-cache", "--full-refresh"),
            *("--project-dir", str(ROOT / "dbt"), "--profiles-dir", str(ROOT / "dbt")),
        ],
        env=environment
        | {
            "GAME_ANALYTICS_DUCKDB": str(folder / "warehouse.duckdb"),
            "GAME_ANALYTICS_LAKE": str(folder / "lake"),
            "DBT_TARGET_PATH": str(folder),
            "DBT_LOG_PATH": str(folder),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest
