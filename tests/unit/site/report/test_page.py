"""The report of warehouses that lack something, and what each page must and must not hold."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.manifest import MANIFEST, Manifest
from include.settings import Settings
from include.site.report import page, write_report
from include.site.report.definitions import NO_MANIFEST, definitions
from include.site.report.metrics import ALL
from include.site.report.queries import MARTS, Data, read
from include.warehouse.duckdb_file import DuckDB
from tests.support import report_marts

LIMIT_BYTES = 300_000
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _report(folder: Path, warehouse: Path) -> str:
    (path,) = write_report(Settings(duckdb=str(warehouse)), folder / "site")
    assert path == folder / "site" / "report.html"
    return _text(path)


def test_a_missing_warehouse_gives_a_page_that_says_so(tmp_path: Path) -> None:
    text = _report(tmp_path, tmp_path / "none.duckdb")
    assert "There is no warehouse" in text
    assert not (tmp_path / "none.duckdb").exists()


def test_a_damaged_warehouse_gives_a_page_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "bad.duckdb").write_text("<b>not a database</b>" * 1000)
    assert "The report could not be made" in _report(tmp_path, tmp_path / "bad.duckdb")


def test_an_empty_warehouse_names_each_missing_mart(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "w.duckdb")).close()
    text = _report(tmp_path, tmp_path / "w.duckdb")
    for mart in MARTS:
        assert f"<code>{mart}</code> is not in the warehouse yet" in text


def test_marts_without_rows_give_a_page_without_figures(tmp_path: Path) -> None:
    path = report_marts.make(tmp_path / "w.duckdb", {}, YESTERDAY)
    with duckdb.connect(str(path)) as warehouse:
        warehouse.execute("delete from marts.rpt_data_health")
    text = _report(tmp_path, path)
    assert "No application has a day with events that has ended." in text
    assert "The ledger has no bets on a day that has ended." in text
    assert "No file of a day that has ended has arrived." in text
    assert "data-metric" not in text


@pytest.mark.parametrize("mart", MARTS)
def test_any_mart_can_be_missing(tmp_path: Path, mart: str) -> None:
    path = report_marts.make(tmp_path / "w.duckdb", {"a": 40, "b": 40}, YESTERDAY, games=["g"])
    with duckdb.connect(str(path)) as warehouse:
        warehouse.execute(f"drop table marts.{mart}")
    text = _report(tmp_path, path)
    assert f"<code>{mart}</code> is not in the warehouse yet" in text
    assert "data-metric" in text


def test_unknown_values_are_dashes(tmp_path: Path) -> None:
    path = report_marts.make(tmp_path / "w.duckdb", {"a": 40}, YESTERDAY, games=["g"])
    keys = {"application_id", "kpi_date", "cohort_date", "day_n", "age_days", "is_mature"}
    keys |= {"bet_date", "game_id", "source_name", "health_date", "player_id", "activity_date"}
    with duckdb.connect(str(path)) as warehouse:
        columns = warehouse.execute(
            "select table_name, column_name from information_schema.columns"
            " where table_schema = 'marts'"
        ).fetchall()
        for mart, column in columns:
            if column not in keys:
                warehouse.execute(f"update marts.{mart} set {column} = null")
    text = _report(tmp_path, path)
    figures = re.findall(r'<data value="([^"]*)">([^<]*)</data>', text)
    # Payers are counted, and nobody is known to have paid.
    assert len(figures) > 100
    assert set(figures) <= {("", "–"), ("0", "0")}


def test_a_day_that_has_not_ended_is_left_out(tmp_path: Path) -> None:
    # The fixture has data health up to the day after `last`.
    path = report_marts.make(tmp_path / "w.duckdb", {"a": 9}, YESTERDAY, games=["g"])
    data = _read(path, YESTERDAY)
    newest = [row["day"] for rows in data.health.values() for row in rows]
    assert max([*newest, data.bets[-1]["day"]]) < YESTERDAY


def _read(path: Path, today: date) -> Data:
    with duckdb.connect(str(path), read_only=True) as connection:
        return read(DuckDB(connection), "marts", today)


def test_the_schema_prefix_is_used(tmp_path: Path) -> None:
    path = report_marts.make(tmp_path / "w.duckdb", {"a": 9}, YESTERDAY)
    (found,) = write_report(Settings(duckdb=str(path), schema_prefix="x_"), tmp_path / "site")
    assert "is not in the warehouse yet" in _text(found)


def test_many_applications_have_a_page_each(tmp_path: Path) -> None:
    applications = {f"game-{number:02}": 200 for number in range(30)}
    path = report_marts.make(tmp_path / "w.duckdb", applications, YESTERDAY, games=["g"])
    found = write_report(Settings(duckdb=str(path)), tmp_path / "site")
    assert len(found) == 31
    first = _text(found[0])
    for application, own in zip(sorted(applications), found[1:], strict=True):
        assert own.name == page.file_name(application)
        assert f'href="{own.name}"' in first
        assert application in _text(own)
    for path in found:
        assert len(gzip.compress(path.read_bytes())) <= LIMIT_BYTES / 3


def test_the_largest_single_page_is_small(tmp_path: Path) -> None:
    applications = {f"game-{number}": 200 for number in range(page.ON_ONE_PAGE)}
    games = [f"game {number}" for number in range(60)]
    path = report_marts.make(tmp_path / "w.duckdb", applications, YESTERDAY, games=games)
    assert len(gzip.compress(_report(tmp_path, path).encode())) <= LIMIT_BYTES


class _Elements(HTMLParser):
    """The tags of a page, and the attributes with scripts or addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.suspicious: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            outside = name in {"src", "href"} and not re.match(
                r"#|report|lineage\.html#|data:,$", value or ""
            )
            if name.startswith("on") or name == "style" or outside:
                self.suspicious.append((name, value))


def test_names_become_text_and_never_markup(tmp_path: Path) -> None:
    names = report_marts.HOSTILE_NAMES
    path = report_marts.make(tmp_path / "w.duckdb", dict.fromkeys(names, 9), YESTERDAY, games=names)
    for written in write_report(Settings(duckdb=str(path)), tmp_path / "site"):
        elements = _Elements()
        elements.feed(_text(written))
        assert elements.tags["script"] == 1
        assert "img" not in elements.tags
        assert not elements.suspicious


def test_the_policy_allows_only_the_own_script(tmp_path: Path) -> None:
    text = _report(tmp_path, tmp_path / "none.duckdb")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    directives = dict(part.split(" ", 1) for part in policy[1].split("; "))
    assert directives["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", directives["script-src"])
    assert "unsafe-eval" not in policy[1]


def test_every_metric_has_the_description_of_its_column() -> None:
    if not MANIFEST.exists():
        pytest.skip("make manifest makes the manifest")
    columns = {
        (node["name"], name): column["description"]
        for node in Manifest.read().nodes.values()
        if node["resource_type"] == "model"
        for name, column in node["columns"].items()
    }
    found, problem = definitions(MANIFEST)
    assert not problem
    assert [definition.metric for definition in found] == list(ALL)
    for definition in found:
        described = columns[definition.metric.mart, definition.metric.column]
        assert "`".join(definition.meaning) == " ".join(described.split())
        assert described.strip()


def test_the_definitions_are_those_of_the_run_and_not_of_the_host(tmp_path: Path) -> None:
    path = report_marts.make(tmp_path / "w.duckdb", {"a": 9}, YESTERDAY)
    columns = {metric.column: {"description": f"Of the run: {metric.key}."} for metric in ALL}
    nodes = {
        f"model.game_analytics.{mart}": {"name": mart, "resource_type": "model", "columns": columns}
        for mart in {metric.mart for metric in ALL}
    }
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "manifest.json").write_text(json.dumps({"nodes": nodes}))
    text = _report(tmp_path, path)
    assert text.count("Of the run: ") == len(ALL)
    assert NO_MANIFEST not in text


@pytest.mark.parametrize("content", [None, "{", '{"nodes": {}}'])
def test_a_missing_manifest_costs_the_definitions_only(tmp_path: Path, content: str | None) -> None:
    path = report_marts.make(tmp_path / "w.duckdb", {"a": 9}, YESTERDAY)
    (tmp_path / "site").mkdir()
    if content is not None:
        (tmp_path / "site" / "manifest.json").write_text(content)
    text = _report(tmp_path, path)
    assert NO_MANIFEST in text
    assert "data-metric" in text
