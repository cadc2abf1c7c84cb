"""Makes dbt's documentation as a single page, and its `catalog.json`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from include.manifest import dbt_arguments
from include.settings import Settings

FOLDER = "dbt"
"""The folder of the page, in the folder of a publication."""


DBT_SECONDS = 300
"""How long dbt may take. It waits for a DuckDB file that another process has locked."""
MANIFEST_PLACE, CATALOG_PLACE = '"MANIFEST.JSON INLINE DATA"', '"CATALOG.JSON INLINE DATA"'
"""The places in dbt's page where the artifacts belong."""


def write_dbt_docs(settings: Settings, folder: Path) -> tuple[list[Path], str]:
    """Write `dbt/index.html` and `catalog.json` into a folder that has the `manifest.json`.

    Returns the files, and a note about what they lack, which is empty if they lack nothing. dbt
    does not compile the project here: a model that does not compile would leave no page at all. If
    the warehouse cannot be read, the page has no types of columns and no sizes of tables.
    """
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
        files = [folder / FOLDER / "index.html"]
        files[0].parent.mkdir()
        page = (target / "index.html").read_text()
        catalog = (target / "catalog.json").read_text()
        page = page.replace(MANIFEST_PLACE, in_script((folder / "manifest.json").read_text()))
        files[0].write_text(page.replace(CATALOG_PLACE, in_script(catalog)))
        if options:
            return files, "dbt could not read the warehouse: the dbt docs have no column types"
        files.append(folder / "catalog.json")
        files[1].write_text(catalog)
        return files, ""


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
