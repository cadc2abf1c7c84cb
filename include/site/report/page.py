"""Writes the KPI report, `report.html`, which needs no network and no script.

The page holds every application and period; radio buttons and CSS show one of them. Its only script
shows the values under the pointer. It has its hash in the page's content security policy.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from include.settings import Settings, UserError
from include.site.report import charts, formats, metrics, whole_product
from include.site.report.definitions import definitions
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
SECTIONS = (
    ("players", "Players"),
    ("revenue", "Revenue"),
    ("retention", "Retention"),
    ("ltv", "LTV"),
    ("betting", "Betting"),
    ("health", "Data health"),
)


def write_report(settings: Settings, folder: Path) -> list[Path]:
    """Write `report.html` into the folder, which is created, and return its path.

    If there is no warehouse, or if it cannot be opened, the page says so. A mart that does not
    exist is named in its section.
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
            problem = f"The report could not be made: {error}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(page(data, settings, now, problem), encoding="utf-8")
    return [path]


def page(data: Data, settings: Settings, now: datetime, problem: str = "") -> str:
    """The page as HTML. With a `problem` it holds that text alone."""
    currency = settings.reporting_currency
    panels: dict[tuple[str, int], Panel] = {}
    for application in sorted({*data.kpis, *data.retention, *data.ltv}):
        for days in PERIODS:
            if found := panel(data, application, days, currency):
                panels[application, days] = found
    applications = sorted({application for application, _ in panels})
    described, definitions_problem = definitions()
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sections = [*SECTIONS]
    if len(applications) > 1:
        sections.insert(0, ("applications", "Applications"))
    betting = {days: whole_product.betting(data, days, currency) for days in PERIODS}
    return _environment().get_template("report.html.jinja").render(
        data=data,
        panels=panels,
        applications=applications,
        is_picker=len(applications) > FEW_APPLICATIONS
        or sum(map(len, applications)) > FEW_CHARACTERS,
        overview=OVERVIEW,
        betting={days: found for days, found in betting.items() if found},
        health={days: whole_product.health(data, days) for days in PERIODS},
        definitions=described,
        definitions_problem=definitions_problem,
        sections=sections,
        periods=PERIODS,
        period_first=SHOWN_FIRST,
        currency=currency,
        today=now.date(),
        written=f"{now:%Y-%m-%d %H:%M}",
        problem=problem,
        # These two files belong to the package, and no value is in them.
        style=Markup(  # noqa: S704
            STYLE.read_text(encoding="utf-8")
            + (TEMPLATES / "report.css").read_text(encoding="utf-8")
        ),
        script=Markup(script),  # noqa: S704
        script_hash=Markup(f"sha256-{digest}"),  # noqa: S704
    )


@cache
def _environment() -> Environment:
    """Jinja with the templates. Every value is escaped, and a name that is not given is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    filters: dict[str, Any] = {
        "exact": formats.exact,
        "shown": formats.shown,
        "changed": formats.changed,
        "percent": formats.percent,
    }
    environment.filters.update(filters)
    environment.globals.update(
        days=formats.days,
        day=formats.day,
        width=charts.WIDTH,
        height=charts.HEIGHT,
        left=charts.LEFT,
        right=charts.WIDTH - charts.RIGHT,
        top=charts.TOP,
        bottom=charts.BOTTOM,
    )
    return environment
