"""Makes dbt's documentation as a single page, and its `catalog.json`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dbt.task.docs import DOCS_INDEX_FILE_PATH

from include.manifest import dbt_arguments
from include.settings import Settings

FOLDER = "dbt"
"""The folder of the page, in the folder of a publication."""


DBT_SECONDS = 300
"""How long dbt may take. It waits for a DuckDB file that another process has locked."""
MANIFEST_PLACE, CATALOG_PLACE = '"MANIFEST.JSON INLINE DATA"', '"CATALOG.JSON INLINE DATA"'
"""The places in dbt's page where the artifacts belong."""


def write_dbt_docs(
    settings: Settings, folder: Path, catalog: Mapping[str, Any] | None = None
) -> tuple[list[Path], str]:
    """Write `dbt/index.html` and `catalog.json` into a folder that has the `manifest.json`.

    Returns the files, and a note about what they lack, which is empty if they lack nothing. If the
    dbt of the build has not written the `catalog`, a dbt process is started for it. dbt does not
    compile the project here: a model that does not compile would leave no page at all. If the
    warehouse cannot be read, the page has no types of columns and no sizes of tables.
    """
    if catalog:
        return _write(folder, Path(DOCS_INDEX_FILE_PATH).read_text(), json.dumps(catalog)), ""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch)
        for options in ((), ("--empty-catalog",)):
            try:
                ended = _generate(settings, target, options)
            except subprocess.TimeoutExpired:
                print(f"dbt took more than {DBT_SECONDS} s for its docs", file=sys.stderr)
                continue
            except OSError as error:
                return [], f"dbt could not make its docs: {error}"
            if ended.returncode == 0 and (target / "catalog.json").is_file():
                break
            print((ended.stdout + ended.stderr).strip(), file=sys.stderr)
        else:
            return [], "dbt could not make its docs: see the log of the task publish"
        page, written = (target / "index.html").read_text(), (target / "catalog.json").read_text()
        files = _write(folder, page, written)
        if options:
            files.pop().unlink()
            return files, "dbt could not read the warehouse: the dbt docs have no column types"
        return files, ""


def _write(folder: Path, page: str, catalog: str) -> list[Path]:
    """Write dbt's page with the artifacts in it, and the catalog beside it; returns both files."""
    files = [folder / FOLDER / "index.html", folder / "catalog.json"]
    files[0].parent.mkdir()
    page = page.replace(MANIFEST_PLACE, in_script((folder / "manifest.json").read_text()))
    files[0].write_text(page.replace(CATALOG_PLACE, in_script(catalog)))
    files[1].write_text(catalog)
    return files


def in_script(json_text: str) -> str:
    """Return JSON as it can stand in a script of a page.

    dbt's own `--static` writes it as it is, so that the text `</script>` in a description ends the
    script, and what follows becomes a part of the page.
    """
    return json_text.replace("<", "\\u003c")


def _generate(
    settings: Settings, target: Path, options: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(settings.dbt_executable, "--quiet", "docs", "generate", "--no-compile"),
            *(*options, *dbt_arguments(settings, target)),
        ],
        env={**os.environ, **settings.as_environment()},
        capture_output=True,
        text=True,
        timeout=DBT_SECONDS,
        check=False,
    )
