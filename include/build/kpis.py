"""`python -m include.build.kpis`: prints the KPIs of the last 14 days and the retention."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from include.settings import Settings, UserError
from include.warehouse.database import Database, open_database

DAYS = 14
LOCK_SECONDS = 20
COLUMNS = (
    ("kpi_date", "day", "{}"),
    ("dau", "DAU", "{:,}"),
    ("wau", "WAU", "{:,}"),
    ("mau", "MAU", "{:,}"),
    ("stickiness", "DAU/MAU", "{:.3f}"),
    ("new_players", "new", "{:,}"),
    ("session_count", "sessions", "{:,}"),
    ("payers", "payers", "{:,}"),
    ("revenue", "revenue", "{:,.2f}"),
    ("arpdau", "ARPDAU", "{:.4f}"),
)
"""The columns of `rpt_daily_kpis` that are shown, each with heading and format."""


def summary(warehouse: Database, settings: Settings) -> list[str]:
    """For each application, the lines of the KPI table and of the retention."""
    marts = f"{settings.schema_prefix}marts"
    if not warehouse.rows(
        "select 1 from information_schema.tables"
        " where table_schema = ? and table_name = 'rpt_daily_kpis'",
        [marts],
    ):
        return [f"No KPIs yet: {marts}.rpt_daily_kpis is not in the warehouse."]
    names = ", ".join(column for column, _, _ in COLUMNS)
    rows = warehouse.rows(
        f"select application_id, {names} from {marts}.rpt_daily_kpis as kpis"
        " qualify row_number() over (partition by application_id order by kpi_date desc) <= ?"
        " order by 1, kpi_date",
        [DAYS],
    )
    lines: list[str] = []
    for application in sorted({row[0] for row in rows}):
        lines += ["", f"{application} (revenue in {settings.reporting_currency})"]
        lines += table([row[1:] for row in rows if row[0] == application])
        lines.append(_retention(warehouse, marts, application))
    return lines or ["No KPIs yet: no day with events has ended."]


def table(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Rows with the values of COLUMNS, as lines of equal length; null becomes a dash."""
    cells = [[heading for _, heading, _ in COLUMNS]]
    for row in rows:
        formats = (form for _, _, form in COLUMNS)
        cells.append(
            [
                "-" if value is None else form.format(value)
                for form, value in zip(formats, row, strict=True)
            ]
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells]


def _retention(warehouse: Database, marts: str, application: str) -> str:
    days = warehouse.rows(
        "select day_n, cast(classic_players as double precision) / cohort_size"
        f" from {marts}.rpt_retention_overall"
        " where application_id = ? and cohort_size > 0 order by 1",
        [application],
    )
    shown = "  ".join(f"D{day} {rate:.1%}" for day, rate in days)
    return f"Retention (classic, mature cohorts): {shown or 'no cohort is mature yet'}"


def main() -> int:
    """Print the summary. Missing KPIs are no error, because another task reports the cause."""
    settings = Settings.from_env(os.environ)
    if settings.target == "local" and not settings.duckdb_path.exists():
        print(f"No KPIs yet: there is no warehouse {settings.duckdb_path}.")
        return 0
    try:
        # A writer that is about to end may still have the warehouse open.
        with open_database(settings, timeout_seconds=LOCK_SECONDS, read_only=True) as warehouse:
            print("\n".join(summary(warehouse, settings)))
    except UserError as error:
        print(f"No KPIs: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
