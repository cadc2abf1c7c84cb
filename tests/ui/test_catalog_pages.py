"""Catalog and lineage in a real browser: a column is followed from the report to the lake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="runs in dbt's environment")

from playwright.sync_api import expect

from include.settings import Settings
from include.site.catalog import project_lineage, write_catalog
from include.site.report import write_report
from tests.support import report_marts
from tests.support.browser import WIDTHS, axe_findings, opened
from tests.support.compiled_project import compiled_manifest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<img src=x onerror=alert(1)> </script><script>alert(1)</script> \"'` ../../"
LONG = "very_long_" * 40

each_look = pytest.mark.parametrize(
    ("scheme", "width"),
    [(scheme, width) for scheme in ("light", "dark") for width in WIDTHS.values()],
    ids=[f"{scheme}-{name}" for scheme in ("light", "dark") for name in WIDTHS],
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The pages of a run of this project, in which some texts are hostile."""
    folder = tmp_path_factory.mktemp("site")
    manifest = compiled_manifest("local", tmp_path_factory.mktemp("compiled"))
    purchases = manifest["nodes"]["model.game_analytics.fct_purchases"]
    purchases["description"] = f"{HOSTILE} {LONG}"
    purchases["columns"]["revenue"]["description"] = HOSTILE
    failed = {"status": "fail", "execution_time": 0.5, "message": HOSTILE}
    results = [
        {"unique_id": unique_id, "status": "success", "execution_time": 1.5}
        if node["resource_type"] != "test"
        else {"unique_id": unique_id, **failed}
        for unique_id, node in manifest["nodes"].items()
    ]
    files: dict[str, Any] = {
        "manifest.json": manifest,
        "run.json": {"run_id": HOSTILE, "published_at": "2026-11-30T10:00:00+00:00"},
        "run_results.json": {"results": results},
        "sources.json": {"results": []},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "index.html").write_text("<!doctype html><title>Run</title>")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    warehouse = report_marts.make(folder / "w.duckdb", {"aurora": 60}, yesterday)
    settings = Settings(duckdb=str(warehouse), docs=str(folder / "docs"))
    write_report(settings, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(project_lineage, "compiled_manifest", lambda _: manifest)
        write_catalog(settings, folder)
    yield folder


def _names(page: Page) -> set[str]:
    """The names of the data sets in the graph."""
    return set(page.locator("#graph .head .name").all_text_contents())


def test_a_figure_of_the_report_is_followed_to_the_folder(browser: Browser, site: Path) -> None:
    with opened(browser, site / "report.html") as found:
        page = found.page
        page.locator(".def:visible", has_text="Revenue").first.click()
        page.locator("[popover]:visible a").click()
        expect(page.locator("#shown")).to_have_text("rpt_daily_kpis.revenue")
        assert {"raw_events/", "game_events.raw_events", "fct_purchases"} <= _names(page)
        assert "fct_sessions" not in _names(page)
        assert page.locator("#graph .arrow.value").count() > 5
        # Step by step, from the end to the beginning.
        for origin in ("int_money_events.amount", "game_events.raw_events.event_data"):
            link = page.locator("#panel .steps a:nth-of-type(2)").get_by_text(origin, exact=True)
            link.first.click()
            expect(page.locator("#shown")).to_have_text(origin)
        assert {"raw_events/", "rpt_daily_kpis"} <= _names(page)
        page.locator("#graph .head", has_text="raw_events/").first.click()
        expect(page.locator("#shown")).to_have_text("raw_events/")
        page.get_by_role("link", name="catalog entry").click()
        expect(page.locator("h1")).to_have_text("raw_events/")
        expect(page.locator(".facts")).to_contain_text("data-platform@example.com")
        assert not found.errors


def test_a_column_is_found_by_its_name(browser: Browser, site: Path) -> None:
    with opened(browser, site / "lineage.html") as found:
        page = found.page
        assert len(_names(page)) > 60
        page.locator("#search").fill("rpt_daily_kpis.stick")
        page.locator("#results a").first.click()
        expect(page.locator("#shown")).to_have_text("rpt_daily_kpis.stickiness")
        expect(page.locator("#results a")).to_have_count(0)
        page.locator("#search").fill("no such thing")
        expect(page.locator("#results")).to_have_text("nothing found")
        assert not found.errors


def test_joins_and_filters_are_shown_on_request(browser: Browser, site: Path) -> None:
    with opened(browser, site / "lineage.html") as found:
        page = found.page
        page.goto(f"{page.url}#model.game_analytics.fct_sessions/duration_seconds")
        drawn = page.locator("#graph .arrow.filter, #graph .arrow.join, #graph .arrow.group")
        expect(page.locator("#shown")).to_have_text("fct_sessions.duration_seconds")
        assert drawn.count() == 0
        page.locator("#with-rows").check()
        assert drawn.count() > 0
        expect(page.locator("#panel")).to_contain_text("(rows)")
        assert not found.errors


def test_the_graph_zooms_and_moves(browser: Browser, site: Path) -> None:
    with opened(browser, site / "lineage.html") as found:
        page = found.page

        def view() -> list[float]:
            text = page.locator("#graph").get_attribute("viewBox") or ""
            return [float(number) for number in text.split()]

        page.locator("#fit").click()
        whole = view()
        page.locator("#nearer").click()
        near = view()
        assert near[2] < whole[2]
        box = page.locator("#graph").bounding_box()
        assert box
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        page.mouse.down()
        page.mouse.move(box["x"] + 105, box["y"] + 5)
        page.mouse.up()
        assert view()[0] < near[0]
        page.mouse.wheel(0, 100)
        page.wait_for_function(
            "width => document.getElementById('graph').viewBox.baseVal.width > width", arg=near[2]
        )
        assert not found.errors


def test_the_catalog_is_searched_by_any_word(browser: Browser, site: Path) -> None:
    with opened(browser, site / "catalog.html") as found:
        page = found.page
        rows = page.locator("tr[data-search]:visible")
        everything = rows.count()
        page.locator("#search").fill("is_first_purchase monetisation")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("fct_purchases")
        expect(page.locator("output")).to_have_text(f"1 of {everything}")
        page.locator("#search").fill("no such thing")
        expect(rows).to_have_count(0)
        expect(page.locator("section.layer:visible")).to_have_count(0)
        assert not found.errors


def test_without_scripts_the_catalog_lists_everything(browser: Browser, site: Path) -> None:
    with opened(browser, site / "catalog.html", scripts=False) as found:
        expect(found.page.locator("#search")).to_be_hidden()
        assert found.page.locator("tr[data-search]:visible").count() > 60
    with opened(browser, site / "lineage.html", scripts=False) as found:
        expect(found.page.get_by_text("The graph needs scripts")).to_be_visible()


@each_look
@pytest.mark.parametrize(
    "name",
    [
        "catalog.html",
        "catalog/model.game_analytics.fct_purchases.html",
        "lineage.html",
    ],
)
def test_pages_are_accessible_and_run_nothing_of_the_data(
    browser: Browser, site: Path, name: str, scheme: str, width: int
) -> None:
    with opened(browser, site / name, scheme=scheme, width=width) as found:
        page = found.page
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0
        assert not axe_findings(page)
        assert not found.errors
        assert all(request.startswith("file:") for request in found.requests)
