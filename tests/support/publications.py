"""Runs with hand-made artifacts below DOCS, and a check that the published site is whole.

`python -m tests.support.publications TEMPLATE FOLDER` publishes the run `new` in `FOLDER/1`,
`FOLDER/2` and so on, which are copies of the folder `TEMPLATE`, and kills the n-th publisher right
before the n-th operation that changes its copy. It ends when a publication has no n-th operation.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from html import unescape
from pathlib import Path
from typing import Any
from unittest.mock import patch

from include.messages import Published, PublishRequest
from include.object_store import Documents
from include.settings import ROOT, Settings
from include.site import publish as module
from include.site.runs import INDEX

PROJECT = "game_analytics"
MODELS = ("stg_bets", "fct_bets")
TEST = f"test.{PROJECT}.unique_fct_bets_bet_id.0123456789"
NOW = "2026-11-30T04:30:00+00:00"


def manifest() -> dict[str, Any]:
    """A manifest with two models and a test of the second one."""
    nodes: dict[str, Any] = {
        f"model.{PROJECT}.{name}": {
            "unique_id": f"model.{PROJECT}.{name}",
            "name": name,
            "resource_type": "model",
            "package_name": PROJECT,
            "original_file_path": f"models/{name}.sql",
            "raw_code": f"select as_written from {name}",
            "config": {"materialized": "table"},
            "depends_on": {"nodes": []},
        }
        for name in MODELS
    }
    nodes[TEST] = {
        "unique_id": TEST,
        "name": "unique_fct_bets_bet_id",
        "resource_type": "test",
        "package_name": PROJECT,
        "original_file_path": "models/fct_bets.yml",
        "config": {},
        "depends_on": {"nodes": [f"model.{PROJECT}.fct_bets"]},
    }
    metadata = {"project_name": PROJECT}
    return {"metadata": metadata, "nodes": nodes, "sources": {}, "groups": {}}


def result(unique_id: str, status: str = "success", **values: Any) -> dict[str, Any]:
    """A result as dbt writes it."""
    name = unique_id.split(".")[2]
    return {
        "unique_id": unique_id,
        "status": status,
        "execution_time": 1.5,
        "message": None,
        "adapter_response": {},
        "compiled_code": f"select compiled from {name}",
        "timing": [{"name": "execute", "started_at": NOW, "completed_at": NOW}],
        **values,
    }


def run_results(*results: dict[str, Any], at: str = NOW) -> bytes:
    """The content of `run_results.json`."""
    return json.dumps({"metadata": {"generated_at": at}, "results": results}).encode()


def write_run(documents: Documents, run_id: str, *results: dict[str, Any]) -> None:
    """Write the artifacts of a run as the tasks of mode `watcher` do."""
    root = f"runs/{run_id}"
    found = results or (*(result(f"model.{PROJECT}.{name}") for name in MODELS), result(TEST))
    documents.write(f"{root}/freshness/manifest.json", json.dumps(manifest()).encode())
    documents.write(f"{root}/dbt_build/try_1-a/run_results.json", run_results(*found))


def without_dbt(_: Settings, folder: Path, __: object) -> tuple[list[Path], str]:
    """Stand in for `write_dbt_docs`, which runs dbt."""
    page = folder / "dbt" / "index.html"
    page.parent.mkdir()
    page.write_text("<title>dbt docs</title>")
    return [page], ""


def settings_for(docs: str) -> Settings:
    """The settings of a publisher."""
    return Settings(docs=docs)


def publish(
    docs: str,
    run_id: str,
    request: PublishRequest | None = None,
    page_writers: Sequence[Callable[[Settings, Path], Sequence[str]]] = (),
) -> Published:
    """Publish a run with these pages, without running dbt for its docs."""
    with (
        patch.object(module, "write_dbt_docs", without_dbt),
        patch.object(module, "PAGES", page_writers),
    ):
        return module.publish_run(settings_for(docs), run_id, request or PublishRequest())


def links(page: str) -> list[str]:
    """The relative links of a page."""
    found = re.findall(r'<a href="([^"#]+)"', page)
    return [unescape(link) for link in found]


def listed_runs(documents: Documents) -> list[str]:
    """The ids of the runs on the index page; fails if a page that it links to is not whole."""
    index = (documents.read(INDEX) or b"").decode()
    assert index.endswith("</html>"), index[-100:]
    for link in links(index):
        content = documents.read(link)
        assert content, f"{link} of the index is missing"
        if not link.endswith("/index.html") or "/dbt/" in link:
            continue
        page = content.decode()
        assert page.endswith("</html>")
        folder = link.rpartition("/")[0]
        for inner in links(page):
            name = os.path.normpath(f"{folder}/{inner}")
            assert documents.read(name) is not None, f"{name} of {link} is missing"
    return re.findall(r'data-label="Run"><a href="[^"]+">([^<]+)', index)


def killed_at_each_step(template: Path, folder: Path) -> list[Path]:
    """Run this program; returns the copies in the order of their steps."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.publications", template, folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(folder.iterdir(), key=lambda path: int(path.name))


class Steps:
    """Kills this process right before the n-th operation that changes a folder."""

    CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "open")

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = f"{folder}/"
        self._number = number
        self._count = 0
        sys.addaudithook(self._on_event)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in self.CHANGES or not str(arguments[0]).startswith(self._folder):
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        self._count += 1
        if self._count == self._number:
            os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[], object]) -> int:
    """Run a function in a forked process; returns its exit code, negative for a signal."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        work()
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def main(words: Sequence[str]) -> None:
    """Kill a publisher at each step."""
    template, folder = map(Path, words)
    code, number = -signal.SIGKILL, 0
    while code == -signal.SIGKILL:
        number += 1
        docs = folder / str(number)
        shutil.copytree(template, docs)

        def work(docs: Path = docs, number: int = number) -> None:
            Steps(docs, number)
            publish(str(docs), "new")

        code = in_child(work)
    assert code == 0, code


if __name__ == "__main__":
    main(sys.argv[1:])
