"""The dbt docs as one page, made by a real dbt: no description of a node can leave its place."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from include.manifest import MANIFEST, make
from include.settings import Settings
from include.site import docs_page
from include.site.docs_page import in_script, write_dbt_docs

HOSTILE = "</script><script>alert(1)</script><!-- <b>bold</b> \u2028 '\"\\"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A warehouse without tables, in which dbt finds nothing to describe."""
    dbt = Path(sys.executable).with_name("dbt")
    warehouse = tmp_path_factory.mktemp("docs") / "warehouse.duckdb"
    make(Settings(dbt_executable=str(dbt)))
    return Settings(duckdb=str(warehouse), dbt_executable=str(dbt))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manifest = json.loads(MANIFEST.read_bytes())
    manifest["nodes"]["model.game_analytics.fct_bets"]["description"] = HOSTILE
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def embedded(page: str) -> dict[str, Any]:
    """The manifest in the page, as the browser reads it."""
    start = page.index("var n={manifest:") + len("var n={manifest:")
    content: dict[str, Any] = json.JSONDecoder().raw_decode(page, start)[0]
    return content


def test_the_page_has_the_manifest_of_the_run_and_no_text_leaves_its_script(
    settings: Settings, folder: Path
) -> None:
    files, note = write_dbt_docs(settings, folder)
    assert (files, note) == ([folder / "dbt/index.html", folder / "catalog.json"], "")
    page = files[0].read_text()
    nodes = embedded(page)["nodes"]
    assert nodes["model.game_analytics.fct_bets"]["description"] == HOSTILE
    assert "alert(1)</script>" not in page
    assert page.count("</script>") == 1
    assert "<!-- <b>" not in page
    assert json.loads(files[1].read_bytes())["nodes"] == {}
    assert "INLINE DATA" not in page
    assert sorted(path.name for path in folder.iterdir()) == [
        *("catalog.json", "dbt", "manifest.json")
    ]


def test_a_catalog_of_the_build_needs_no_dbt(settings: Settings, folder: Path) -> None:
    without = replace(settings, dbt_executable="/nowhere/dbt")
    catalog: dict[str, Any] = {
        "nodes": {"model.game_analytics.fct_bets": {"columns": {}}},
        "sources": {},
    }
    files, note = write_dbt_docs(without, folder, catalog)
    assert (files, note) == ([folder / "dbt/index.html", folder / "catalog.json"], "")
    assert json.loads(files[1].read_bytes()) == catalog
    page = files[0].read_text()
    assert embedded(page)["nodes"]["model.game_analytics.fct_bets"]["description"] == HOSTILE
    assert "INLINE DATA" not in page


def test_without_a_warehouse_the_page_has_no_catalog_and_a_note_says_so(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = docs_page._generate

    def generate(*given: Any) -> Any:
        if given[-1] == ():
            # dbt tries for minutes to open a file that is no database, or that is locked.
            raise subprocess.TimeoutExpired("dbt", 1)
        return real(*given)

    monkeypatch.setattr(docs_page, "_generate", generate)
    broken = folder / "broken.duckdb"
    broken.write_bytes(b"no database" * 1000)
    blocked = replace(settings, duckdb=str(broken))
    files, note = write_dbt_docs(blocked, folder)
    assert files == [folder / "dbt/index.html"]
    assert note == "dbt could not read the warehouse: the dbt docs have no column types"
    assert embedded(files[0].read_text())["nodes"]


def test_without_dbt_there_is_no_page_and_a_note_says_so(settings: Settings, folder: Path) -> None:
    for dbt in ("/nowhere/dbt", shutil.which("false") or "/bin/false"):
        files, note = write_dbt_docs(replace(settings, dbt_executable=dbt), folder)
        assert files == []
        assert note.startswith("dbt could not make its docs")


def test_json_in_a_script_stays_the_same_json() -> None:
    text = json.dumps({HOSTILE: [HOSTILE]})
    assert "<" not in in_script(text)
    assert json.loads(in_script(text)) == json.loads(text)
