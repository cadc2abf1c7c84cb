"""Catalog and lineage pages of 1,000 models and 20,000 columns: their cost, size and speed.

The pages are written from generated artifacts, so dbt does not compile anything here. Chromium then
opens them: the first view counts from the start of the navigation to its load event, and a key from
the input event to the end of its handler. The lineage is also sent to an OpenLineage backend on
loopback, which keeps all events.

`python -m tests.benchmarks.site_pages FOLDER` writes the pages once, and with a URL behind the
folder it sends the lineage of these pages.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from include.messages import to_json
from include.settings import Settings
from include.site.catalog import project_lineage, write_catalog
from include.site.lineage.templates import NO_FORMS
from include.site.openlineage.publication import send_lineage
from include.site.runs import Run
from tests.benchmarks.lineage import cost_of
from tests.benchmarks.measure import FOLDER, LOG, Failed, Figure, Skipped, median, taking_turns
from tests.benchmarks.wide_project import write

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PART = "site"
GOAL_SECONDS, GOAL_MB = 20.0, 300.0
GOAL_KB, GOAL_MILLISECONDS, GOAL_KEY = 1000.0, 2000.0, 50.0
MODELS = 1000
AT = "2026-01-01T00:00:00+00:00"
RUN = Run("wide", "success", "site/1", AT, AT, 0.0)
SEARCHED = ("r", "rp", "rpt_1", "rpt_1.c0", "c19")
KEYS = """
texts => texts.map((text) => {
  const input = document.getElementById("search");
  input.value = text;
  const began = performance.now();
  input.dispatchEvent(new Event("input"));
  return performance.now() - began;
})
"""
LOADED = "performance.timing.loadEventEnd - performance.timing.navigationStart"


def measure(rounds: int) -> Sequence[Figure | Skipped | Failed]:
    """Measure writing the pages, and opening and searching them."""
    folder = FOLDER / PART
    program = [sys.executable, "-m", "tests.benchmarks.site_pages", str(folder)]
    costs = taking_turns(rounds, {"pages": lambda: cost_of(program)})["pages"]
    seconds, peaks = [cost.seconds for cost in costs], [cost.megabytes for cost in costs]
    return [
        Figure(
            PART, "catalog and lineage: CPU", median(seconds), "s", GOAL_SECONDS, samples=seconds
        ),
        Figure(PART, "catalog and lineage: peak", median(peaks), "MB", GOAL_MB, samples=peaks),
        *_sent(program),
        *_opened(folder),
    ]


def _sent(program: Sequence[str]) -> Sequence[Figure | Failed]:
    from tests.support.openlineage_backend import backend

    with backend() as server:
        began = time.perf_counter()
        cost = cost_of([*program, server.url])
        seconds = time.perf_counter() - began
        if (number := len(server.events)) < 2 * MODELS or "warning" in LOG.read_text():
            return [Failed(PART, f"{number} events were sent: {LOG.read_text()[-500:]}")]
    return [
        Figure(PART, "OpenLineage: events", number, ""),
        Figure(PART, "OpenLineage: until all are sent", seconds, "s"),
        Figure(PART, "OpenLineage: CPU", cost.seconds, "s"),
        Figure(PART, "OpenLineage: peak", cost.megabytes, "MB"),
    ]


def _opened(folder: Path) -> Sequence[Figure | Skipped]:
    try:
        from tests.support.browser import chromium
        from tests.support.debian import Unavailable
    except ImportError:
        return [Skipped(PART, "Playwright is not installed: run `make install-dev`")]
    try:
        with chromium() as browser:
            return [
                figure
                for name in ("catalog.html", "lineage.html")
                for figure in _page(browser, folder / name)
            ]
    except Unavailable as reason:
        return [Skipped(PART, str(reason))]


def _page(browser: Browser, path: Path) -> Sequence[Figure]:
    from tests.support.browser import opened

    size = len(gzip.compress(path.read_bytes())) / 1000
    with opened(browser, path) as found:
        loaded = float(found.page.evaluate(LOADED))
        keys: list[float] = found.page.evaluate(KEYS, list(SEARCHED))
    return [
        Figure(PART, f"{path.name}: gzipped", size, "kB", GOAL_KB),
        Figure(PART, f"{path.name}: loaded", loaded, "ms", GOAL_MILLISECONDS),
        Figure(PART, f"{path.name}: slowest key", max(keys), "ms", GOAL_KEY, samples=keys),
    ]


def main(folder: Path) -> None:
    """Write the artifacts of a run of the wide project, and its pages."""
    shutil.rmtree(folder, ignore_errors=True)
    write(folder)
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    results = [
        {"unique_id": unique_id, "status": "success", "execution_time": 1.0}
        for unique_id in manifest["nodes"]
    ]
    for name, content in {
        "run.json": json.loads(to_json(RUN)),
        "run_results.json": {"results": results},
        "sources.json": {"results": []},
    }.items():
        (folder / name).write_text(json.dumps(content))
    settings = replace(Settings(), duckdb=str(folder / "none.duckdb"), docs=str(folder / "docs"))
    with (
        patch.object(project_lineage, "compiled_manifest", lambda _: manifest),
        patch.object(project_lineage, "forms", lambda *_: NO_FORMS),
    ):
        write_catalog(settings, folder)


def send(folder: Path, url: str) -> None:
    """Send the lineage of the pages to a backend."""
    send_lineage(Settings(openlineage_url=url), folder, RUN, is_dag=False)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        send(Path(sys.argv[1]), sys.argv[2])
    else:
        main(Path(sys.argv[1]))
