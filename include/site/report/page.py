"""Writes the KPI report, `report.html`, which needs no network and no script.

Radio buttons and CSS show one application and period. The only script of a page shows the values
under the pointer. Its hash is in the page's content security policy.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from include.engine_text import without_values
from include.settings import Settings, UserError
from include.site.report import charts, formats, metrics, whole_product
from include.site.report.definitions import Definition, definitions
from include.site.report.periods import PERIODS, SHOWN_FIRST
from include.site.report.queries import Data, read
from include.site.report.sections import Panel, panel
from include.warehouse.database import open_database

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"
STYLE = FOLDER.parent / "style.css"
LOCK_SECONDS = 20
"""A writer that is about to end may still have the warehouse open."""
FEW_APPLICATIONS = 4
FEW_CHARACTERS = 60
"""Up to so many applications with names of so many characters in all stand side by side."""
OVERVIEW = (
    *(metrics.DAU, metrics.MAU, metrics.REVENUE, metrics.ARPDAU, metrics.CONVERSION),
    metrics.NEW_PLAYERS,
)
"""The metrics of the table of applications."""
APPLICATION_SECTIONS = [
    *(("players", "Players"), ("revenue", "Revenue"), ("retention", "Retention"), ("ltv", "LTV"))
]
WHOLE_PRODUCT_SECTIONS = [("betting", "Betting"), ("health", "Data health")]
FIRST = "report.html"
ON_ONE_PAGE = 6
"""More applications would make a page slow on a phone: each needs up to 20 kB, compressed."""


def write_report(settings: Settings, folder: Path) -> list[Path]:
    """Write the report into the folder, which is created, and return the paths of its pages.

    The definitions of the figures are those of `manifest.json` in the folder.
    `report.html` is the first of them. With more than `ON_ONE_PAGE` applications each has a page of
    its own, `report-<hash of its id>.html`, and `report.html` links to them. If there is no
    warehouse, or if it cannot be read, that is the text of the page. A mart that does not exist is
    named in its section.
    """
    now = datetime.now(UTC)
    data, problem = Data(), ""
    if settings.target == "local" and not settings.duckdb_path.exists():
        problem = f"There is no warehouse {settings.duckdb_path} yet. A run builds it."
    else:
        try:
            with open_database(settings, timeout_seconds=LOCK_SECONDS, read_only=True) as warehouse:
                data = read(warehouse, f"{settings.schema_prefix}marts", now.date())
        except (UserError, duckdb.Error) as error:
            print(f"warning: the report could not be made: {error}", flush=True)
            problem = f"The report could not be made: {without_values(str(error))}"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    described = definitions(folder / "manifest.json")
    for name, text in pages(data, settings, now, described, problem):
        written.append(folder / name)
        written[-1].write_text(text, encoding="utf-8")
    return written


def pages(
    data: Data,
    settings: Settings,
    now: datetime,
    described: tuple[Sequence[Definition], str],
    problem: str = "",
) -> Iterator[tuple[str, str]]:
    """The name and the HTML of each page. With a `problem` there is one page, with that text.

    `described` has the definitions, and the reason if there are none.
    """
    currency = settings.reporting_currency
    panels: dict[tuple[str, int], Panel] = {}
    for application in sorted({*data.kpis, *data.retention, *data.ltv}):
        for days in PERIODS:
            if found := panel(data, application, days, currency):
                panels[application, days] = found
    everything = sorted({application for application, _ in panels})
    betting = {days: whole_product.betting(data, days, currency) for days in PERIODS}
    shared = {
        **_constants(),
        "definitions": described[0],
        "definitions_problem": described[1],
        "data": data,
        "panels": panels,
        "everything": everything,
        "betting": {days: found for days, found in betting.items() if found},
        "health": {days: whole_product.health(data, days) for days in PERIODS},
        "currency": currency,
        "today": now.date(),
        "written": f"{now:%Y-%m-%d %H:%M}",
        "problem": problem,
    }
    is_one_page = len(everything) <= ON_ONE_PAGE
    links = {} if is_one_page else {each: file_name(each) for each in everything}
    first = everything if is_one_page else []
    yield FIRST, _rendered(shared, first, links, is_first=True)
    for application, name in links.items():
        yield name, _rendered(shared, [application], links, is_first=False)


def file_name(application: str) -> str:
    """The name of an application's own page. An id can hold what no file name may hold."""
    return f"report-{hashlib.sha256(application.encode()).hexdigest()[:16]}.html"


def _rendered(
    shared: Mapping[str, Any], applications: Sequence[str], links: Mapping[str, str], is_first: bool
) -> str:
    """A page with these applications; the first one has what belongs to no application as well."""
    everything = shared["everything"]
    sections = [("applications", "Applications")] if is_first and len(everything) > 1 else []
    sections += APPLICATION_SECTIONS if applications or not links else []
    sections += WHOLE_PRODUCT_SECTIONS if is_first else []
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            **shared,
            applications=applications,
            links=links,
            sections=dict(sections),
            is_first=is_first,
            is_picker=len(applications) > FEW_APPLICATIONS
            or sum(map(len, applications)) > FEW_CHARACTERS,
        )
    )


def _constants() -> dict[str, Any]:
    """What does not depend on the data."""
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = STYLE.read_text(encoding="utf-8")
    style += (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return {
        "overview": OVERVIEW,
        "periods": PERIODS,
        "period_first": SHOWN_FIRST,
        "first_page": FIRST,
        # These two files belong to the package, and no value of the data is in them.
        "style": Markup(style),  # noqa: S704 - own files
        "script": Markup(script),  # noqa: S704 - own files
        "script_hash": Markup(f"sha256-{digest}"),  # noqa: S704 - own files
    }


@cache
def _environment() -> Environment:
    """Jinja with the templates. Every value is escaped, and an unknown name is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    filters: dict[str, Any] = {
        "exact": formats.exact,
        "shown": formats.shown,
        "changed": formats.changed,
        "percent": formats.percent,
        "named": formats.named,
    }
    environment.filters.update(filters)
    environment.globals.update(
        days=formats.days,
        share=partial(metrics.ratio, money=False),
        day=formats.day,
        width=charts.WIDTH,
        height=charts.HEIGHT,
        left=charts.LEFT,
        right=charts.WIDTH - charts.RIGHT,
        top=charts.TOP,
        bottom=charts.BOTTOM,
    )
    return environment
