"""The KPI report in a real browser: its figures, its selection, its looks, and its safety."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="runs in dbt's environment")

import duckdb
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from include.manifest import MANIFEST
from include.settings import Settings
from include.site.report import write_report
from include.site.report.page import ON_ONE_PAGE
from tests.support import report_marts
from tests.support.browser import HEIGHT, WIDTHS, opened
from tests.ui.report_figures import CHARTS, READ, Marts, chart_rows

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = report_marts.HOSTILE_NAMES
DAYS = (7, 28, 90)

each_look = pytest.mark.parametrize(
    ("scheme", "width"),
    [(scheme, width) for scheme in ("light", "dark") for width in WIDTHS.values()],
    ids=[f"{scheme}-{name}" for scheme in ("light", "dark") for name in WIDTHS],
)


@pytest.fixture(scope="module")
def last() -> date:
    """The last day that has ended."""
    return datetime.now(UTC).date() - timedelta(days=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, last: date) -> Path:
    """A warehouse with few applications on one page: long, short, young, and with odd names."""
    folder = tmp_path_factory.mktemp("report")
    applications = {"aurora": 200, HOSTILE[0]: 200, HOSTILE[6]: 60, "one day": 1, HOSTILE[1]: 30}
    games = [*HOSTILE, *(f"Slot {number}" for number in range(25))]
    path = report_marts.make(
        folder / "w.duckdb", applications, last, games=games, has_unknown_money=True
    )
    if MANIFEST.is_file():
        shutil.copy(MANIFEST, folder)
    assert len(write_report(Settings(duckdb=str(path)), folder)) == 1
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, last: date) -> Path:
    """A report with few elements, because axe-core takes long for many."""
    folder = tmp_path_factory.mktemp("small")
    applications = {HOSTILE[0]: 60, HOSTILE[6]: 60, "one day": 1, "  ": 9}
    path = report_marts.make(folder / "w.duckdb", applications, last, games=HOSTILE[:4])
    (written,) = write_report(Settings(duckdb=str(path)), folder)
    return written


@pytest.fixture(scope="module")
def warehouse(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse of the report, for the queries of the tests."""
    with duckdb.connect(str(folder / "w.duckdb"), read_only=True) as connection:
        yield connection


def _select(page: Page, application: str | None, days: int) -> None:
    """Select as a user does, through the list of applications and the radio buttons."""
    if application is not None:
        picker = page.locator("button.picker")
        if picker.count():
            picker.click()
        radios = page.locator("input[name=application]")
        values = radios.evaluate_all("all => all.map(one => one.value)")
        radios.nth(values.index(application)).click()
        if picker.count():
            expect(page.locator("#picker")).to_be_hidden()
    page.locator(f"#p{days}").click()


def _axe(page: Page) -> list[str]:
    """What axe-core finds: each rule with the elements."""
    response = Axe().run(page).response
    return [
        f"{violation['id']}: {violation['help']}: "
        + "; ".join(
            f"{node['html'][:160]} {node.get('failureSummary')}" for node in violation["nodes"][:3]
        )
        for violation in response["violations"]
    ]


def _close(shown: str, expected: Fraction | None, tolerance: float = 1e-9) -> bool:
    if expected is None or not shown:
        return expected is None and not shown
    found = Fraction(shown)
    return abs(found - expected) <= max(abs(expected) * Fraction(tolerance), Fraction(1, 10**12))


def test_every_figure_equals_the_mart(
    browser: Browser, folder: Path, warehouse: duckdb.DuckDBPyConnection, last: date
) -> None:
    with opened(browser, folder / "report.html") as found:
        figures: list[dict[str, Any]] = found.page.evaluate(READ)
    marts = Marts(warehouse, last)
    by_mart: dict[str, int] = {}
    wrong: list[tuple[Any, ...]] = []
    for figure in figures:
        mart, column = figure["metric"].split(".")
        by_mart[mart] = by_mart.get(mart, 0) + 1
        figure["shown"] = {
            other["game"]
            for other in figures
            if other["game"] not in {None, "(others)"} and other["days"] == figure["days"]
        }
        for place, is_previous in (("now", False), ("before", True)):
            expected = marts.expected(figure, is_previous=is_previous)
            # Money per player is rounded to four decimals, as in the marts.
            is_rounded = column in {"arpdau", "arppu", "ltv"}
            ok = (
                expected is not None
                and bool(figure[place])
                and abs(Fraction(figure[place]) - expected) <= Fraction(50001, 10**9)
                if is_rounded and expected is not None
                else _close(figure[place], expected)
            )
            if not ok and len(wrong) < 20:
                wrong.append(
                    (
                        place,
                        figure["application"],
                        figure["days"],
                        figure["metric"],
                        figure["n"],
                        figure["game"],
                        figure[place],
                        expected and float(expected),
                    )
                )
    assert not wrong, "\n".join(map(str, wrong))
    # The sum over games is unknown where a bet has no exchange rate.
    unknown = [f for f in figures if f["metric"] == "rpt_betting.ggr" and not f["now"]]
    assert {figure["days"] for figure in unknown} == {90}
    minimum = {
        "rpt_daily_kpis": 285,
        "fct_player_days": 15,
        "rpt_retention": 400,
        "rpt_ltv": 200,
        "rpt_betting": 300,
        "rpt_data_health": 78,
    }
    assert all(by_mart.get(mart, 0) >= count for mart, count in minimum.items()), by_mart


def test_the_heat_map_equals_the_mart(
    browser: Browser, folder: Path, warehouse: duckdb.DuckDBPyConnection, last: date
) -> None:
    read = """() => [...document.querySelectorAll('table[data-heat]')].map((table) => ({
      application: document.getElementById(
        'a' + table.closest('.app').dataset.application).value,
      days: Number(table.closest('.period').dataset.period),
      rows: [...table.querySelectorAll('tbody tr:not(.apart)')].map((row) =>
        [...row.querySelectorAll('td')].map((cell) =>
          [cell.querySelector('data')?.value ?? '', cell.textContent])),
    }))"""
    with opened(browser, folder / "report.html") as found:
        tables = found.page.evaluate(read)
    # The application with one day has no mature cohort.
    assert len(tables) == 4 * len(DAYS)
    compared = 0
    for table in tables:
        length = 1 if table["days"] == 7 else 7
        rows = iter(table["rows"])
        for block in _blocks(last, table["days"], length):
            if block[1] < _first_day(warehouse, table["application"]):
                continue
            size, *cells = next(rows)
            where = (
                "from marts.rpt_retention where application_id = ? and cohort_date between ? and ?"
                " and day_n = ?"
            )
            values = [table["application"], *block]
            (expected,) = warehouse.execute(
                f"select coalesce(sum(cohort_size), 0) {where}", [*values, 1]
            ).fetchall()[0]
            assert int(size[0]) == expected
            for day_n, (value, text) in zip((1, 3, 7, 14, 30, 60, 90), cells, strict=True):
                ((rate,),) = warehouse.execute(
                    "select sum(classic_players) / cast(sum(cohort_size) as double)"
                    f" {where} and is_mature",
                    [*values, day_n],
                ).fetchall()
                assert (float(value) if value else None) == pytest.approx(rate), (table, block)
                assert text == ("·" if rate is None else f"{rate * 100 + 1e-9:.0f}%")
                compared += 1
        assert next(rows, None) is None
    assert compared > 500


def _blocks(last: date, days: int, length: int) -> Iterator[tuple[date, date]]:
    for end in (last, last - timedelta(days=days)):
        for back in range(0, days, length):
            newest = end - timedelta(days=back)
            oldest = end - timedelta(days=days - 1)
            yield max(newest - timedelta(days=length - 1), oldest), newest


def _first_day(warehouse: duckdb.DuckDBPyConnection, application: str) -> date:
    found = warehouse.execute(
        "select min(kpi_date) from marts.rpt_daily_kpis where application_id = ?", [application]
    ).fetchone()
    assert found is not None
    day: date = found[0]
    return day


def test_every_chart_has_the_values_of_the_mart_in_its_table_and_its_tooltips(
    browser: Browser, folder: Path, warehouse: duckdb.DuckDBPyConnection, last: date
) -> None:
    read = """() => [...document.querySelectorAll('.app figure')].map((figure) => ({
      title: figure.dataset.chart,
      application: document.getElementById(
        'a' + figure.closest('.app').dataset.application).value,
      days: Number(figure.closest('.period').dataset.period),
      head: [...figure.querySelectorAll('thead th')].map((cell) => cell.textContent),
      rows: [...figure.querySelectorAll('tbody tr')].map((row) =>
        [...row.children].map((cell) => cell.textContent)),
      tips: [...figure.querySelectorAll('.s title')].map((title) => title.textContent),
      role: figure.querySelector('svg')?.getAttribute('role'),
      label: figure.querySelector('svg')?.getAttribute('aria-label'),
    }))"""
    with opened(browser, folder / "report.html") as found:
        charts = found.page.evaluate(read)
    compared = 0
    for chart in charts:
        if chart["tips"]:
            assert chart["role"] == "img"
            assert chart["label"].startswith(chart["title"])
            # A tooltip has the label of its row, and then each value.
            for row, tip in zip(chart["rows"], chart["tips"], strict=True):
                label, *lines = tip.split("\n")
                assert label == row[0]
                assert [line.rpartition(": ")[2] for line in lines] == row[1:]
        if chart["title"] not in CHARTS:
            continue
        expected = list(
            chart_rows(warehouse, chart["title"], chart["application"], last, chart["days"])
        )
        assert len(chart["rows"]) == len(expected)
        for row, values in zip(chart["rows"], expected, strict=True):
            for text, value in zip(row[1:], values, strict=True):
                compared += 1
                if value is None:
                    assert text == "–", (chart["title"], row)
                    continue
                number = float(text.replace(",", "").replace("−", "-").rstrip("%"))
                assert number == pytest.approx(value, rel=1e-9, abs=0.00501), (
                    chart["title"],
                    chart["application"],
                    chart["days"],
                    row,
                    values,
                )
    assert compared > 2000


@each_look
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    browser: Browser, small: Path, scheme: str, width: int
) -> None:
    with opened(browser, small, scheme=scheme, width=width) as found:
        page = found.page
        for application, days in (("one day", 7), (HOSTILE[6], 90), (HOSTILE[0], 28)):
            _select(page, application, days)
            assert not _sideways(page), (application, days)
        # Everything that can be opened is open.
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        page.locator(".def:visible").first.click()
        assert not _axe(page)
        assert not _sideways(page)
        page.keyboard.press("Escape")
        page.locator("button.picker").click()
        box = page.locator("#picker").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= HEIGHT
        assert not _sideways(page)
        assert not found.errors


def _sideways(page: Page) -> list[str]:
    """What is wider than the window or than its place, and cannot be scrolled by itself."""
    found: list[str] = page.evaluate("""() => {
      const seen = (element) => element.getClientRects().length > 0
      const scrolls = (element) => ['auto', 'scroll'].includes(getComputedStyle(element).overflowX)
      const root = document.documentElement
      return [
        ...(root.scrollWidth > root.clientWidth ? ['the page'] : []),
        ...[...document.querySelectorAll('table')]
          .filter((table) => seen(table) && table.getBoundingClientRect().right > innerWidth)
          .filter((table) => !scrolls(table.closest('.scroll'))).map(() => 'a table'),
        ...[...document.querySelectorAll('.tile, .range, .choice, h1, .name, figcaption')]
          .filter((element) => seen(element) && element.scrollWidth > element.clientWidth + 1)
          .map((element) => element.outerHTML.slice(0, 200)),
      ]
    }""")
    return found


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_pages_of_many_applications_pass_as_well(
    browser: Browser, tmp_path: Path, last: date, scheme: str, width: int
) -> None:
    applications = dict.fromkeys((*HOSTILE, "plain"), 40)
    assert len(applications) > ON_ONE_PAGE
    path = report_marts.make(tmp_path / "w.duckdb", applications, last, games=HOSTILE, huge=True)
    written = write_report(Settings(duckdb=str(path)), tmp_path / "site")
    longest = next(path for path in written if "x" * 900 in path.read_text() and path != written[0])
    for path in (written[0], longest):
        with opened(browser, path, scheme=scheme, width=width) as found:
            assert not _axe(found.page)
            assert not _sideways(found.page)
            assert not found.errors


def test_a_link_leads_to_each_application_and_back(
    browser: Browser, tmp_path: Path, last: date
) -> None:
    path = report_marts.make(tmp_path / "w.duckdb", dict.fromkeys(HOSTILE, 9), last)
    write_report(Settings(duckdb=str(path)), tmp_path / "site")
    with opened(browser, tmp_path / "site" / "report.html") as found:
        page = found.page
        names = page.locator("#applications .p28 tbody th a")
        assert names.count() == len(HOSTILE)
        for name in sorted(HOSTILE):
            names.nth(sorted(HOSTILE).index(name)).click()
            assert page.locator("h1").text_content() == name
            page.get_by_role("link", name="All applications").click()
        assert not found.errors


@each_look
def test_the_page_needs_no_network_and_writes_no_error(
    browser: Browser, folder: Path, scheme: str, width: int
) -> None:
    path = folder / "report.html"
    with opened(browser, path, scheme=scheme, width=width) as found:
        found.page.locator("svg.chart:visible").first.hover()
        found.page.mouse.wheel(0, 4000)
        assert set(found.requests) <= {path.as_uri(), "data:,"}
        assert not found.errors


def test_hostile_names_are_text(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "report.html") as found:
        page = found.page
        assert page.title() == "KPI report"
        for application in (HOSTILE[0], HOSTILE[1]):
            _select(page, application, 28)
            assert page.locator(".range strong:visible").first.text_content() == application
        for game in HOSTILE:
            row = page.locator("[data-games]:visible tr[data-game]").filter(
                has=page.locator("th .clamp")
            )
            names = row.evaluate_all("rows => rows.map(row => row.dataset.game)")
            if game in names:
                assert row.nth(names.index(game)).locator("th").text_content() in {
                    f"{game} (name)",
                    "Unknown",
                }
        assert page.evaluate("window.ran") is None
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 1
        assert not found.errors


def test_an_injected_script_does_not_run(browser: Browser, tmp_path: Path, folder: Path) -> None:
    """If escaping failed, the content security policy would stop scripts and handlers."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    attack = "<script>window.ran = true</script><img src='data:,' onerror='window.ran = true'>"
    (tmp_path / "report.html").write_text(text.replace("<main>", f"<main>{attack}"), "utf-8")
    with opened(browser, tmp_path / "report.html") as found:
        found.page.wait_for_timeout(200)
        assert found.page.evaluate("window.ran") is None
        assert any("Content Security Policy" in error for error in found.errors)


def test_everything_works_without_scripts(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "report.html", scripts=False) as found:
        page = found.page
        expect(page.locator("#players .a0 .p28 .tile").first).to_be_visible()
        for days in DAYS:
            page.locator(f"#p{days}").click()
            for other in DAYS:
                tile = page.locator(f"#players .a0 .p{other} .tile").first
                expect(tile).to_be_visible(visible=days == other)
        page.locator("button.picker").click()
        page.locator("#a2").click()
        expect(page.locator("#revenue .a2 .p90 svg.chart").first).to_be_visible()
        expect(page.locator("#revenue .a0 .p90 svg.chart").first).to_be_hidden()
        page.mouse.click(5, 5)
        expect(page.locator("#picker")).to_be_hidden()
        page.locator(".def:visible").first.click()
        expect(page.locator("[popover]:popover-open")).to_contain_text("Source:")


def test_the_keyboard_selects_and_opens_definitions(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "report.html") as found:
        page = found.page
        page.locator("#p28").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#players .a0 .p90 .tile").first).to_be_visible()
        mau = page.locator("#players .a0 .p90 [data-metric='rpt_daily_kpis.mau'] button")
        mau.focus()
        page.keyboard.press("Enter")
        opened_definition = page.locator("[popover]:popover-open")
        expect(opened_definition).to_contain_text("Monthly active users")
        expect(opened_definition).to_contain_text("the one of its last day")
        expect(opened_definition).to_contain_text("rpt_daily_kpis.mau")
        page.keyboard.press("Escape")
        expect(opened_definition).to_have_count(0)
        # The selection is announced as groups of radio buttons with names.
        expect(page.get_by_role("group", name="Period")).to_be_visible()
        expect(page.get_by_role("radio", name="90 days")).to_be_checked()


def test_a_day_under_the_pointer_shows_its_values(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "report.html") as found:
        page = found.page
        chart = page.locator("#players .a0 .p28 figure").first
        row = chart.locator("tbody tr").nth(20)
        expected = row.locator("td").all_text_contents()
        chart.scroll_into_view_if_needed()
        chart.locator(".s").nth(20).hover()
        readout = chart.locator(".readout")
        expect(readout).to_be_visible()
        lines = (readout.text_content() or "").split("\n")
        assert lines[0] == row.locator("th").text_content()
        assert [line.rpartition(": ")[2] for line in lines[1:]] == expected
        page.mouse.move(0, 0)
        expect(readout).to_have_count(0)


def test_incomplete_periods_are_marked(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "report.html") as found:
        page = found.page
        _select(page, HOSTILE[1], 90)
        expect(page.locator(".range:visible").first).to_contain_text(
            "Incomplete: 30 of 90 days have data"
        )
        tile = page.locator("#players [data-metric='rpt_daily_kpis.new_players']:visible")
        expect(tile).to_contain_text("30 of 90 days")
        expect(tile.locator(".change")).to_have_count(0)
        _select(page, HOSTILE[1], 28)
        expect(tile).to_contain_text("2 of 28 days")
        expect(tile.locator(".change")).to_have_count(0)
        _select(page, HOSTILE[1], 7)
        expect(tile.locator(".badge")).to_have_count(0)
        expect(tile.locator(".change")).to_have_count(1)


@each_look
@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_a_report_without_data_is_accessible(
    browser: Browser, tmp_path: Path, kind: str, scheme: str, width: int
) -> None:
    path = tmp_path / "w.duckdb"
    if kind == "empty":
        duckdb.connect(str(path)).close()
    (written,) = write_report(Settings(duckdb=str(path)), tmp_path / "site")
    with opened(browser, written, scheme=scheme, width=width) as found:
        assert not _axe(found.page)
        assert not found.errors
        assert found.page.locator(".notice:visible").count() >= 1
