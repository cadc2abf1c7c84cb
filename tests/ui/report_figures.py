"""What the figures of the report must be, by a query of the mart for each of them.

The queries share nothing with those of the report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import duckdb

Number = Fraction | None
READ = """() => [...document.querySelectorAll('[data-metric]')].map((element) => {
  const application = element.closest('.app')
  const game = element.closest('table[data-games] tr')
  return {
    metric: element.dataset.metric,
    n: element.closest('[data-n]')?.dataset.n ?? null,
    days: Number(element.closest('.period').dataset.period),
    application: application
      ? document.getElementById('a' + application.dataset.application).value
      : element.closest('[data-name]')?.dataset.name ?? null,
    game: game ? game.dataset.game ?? '(others)' : null,
    source: element.closest('[data-source]')?.dataset.source ?? null,
    now: element.querySelector('data').value,
    text: element.querySelector('data').textContent,
    before: element.querySelector('data.p')?.value ?? '',
  }
})"""
"""Reads every figure of a page: its metric, where it stands, and its two exact values."""


@dataclass(frozen=True)
class Range:
    """The days of a figure, both included."""

    first: date
    last: date

    @classmethod
    def of(cls, last: date, days: int, *, is_previous: bool) -> Range:
        """The last `days` days up to `last`, or those before them."""
        end = last - timedelta(days=days) if is_previous else last
        return cls(end - timedelta(days=days - 1), end)

    def where(self, column: str) -> str:
        """The condition that a day is in the range."""
        return f"{column} between date '{self.first}' and date '{self.last}'"


KPIS = {
    "dau": ("sum(dau)", "count(*)"),
    "wau": ("max(wau) filter (kpi_date = {last})", "1"),
    "mau": ("max(mau) filter (kpi_date = {last})", "1"),
    "stickiness": ("sum(dau)", "sum(mau)"),
    "new_players": ("sum(new_players)", "1"),
    "sessions_per_dau": ("sum(session_count)", "sum(dau)"),
    "revenue": ("sum(revenue)", "1"),
    "arpdau": ("sum(revenue)", "sum(dau)"),
    "payer_conversion": ("sum(payers)", "sum(dau)"),
    "arppu": ("sum(iap_revenue)", "sum(payers)"),
    "iap_revenue": ("sum(iap_revenue)", "1"),
    "ad_revenue": ("sum(ad_revenue)", "1"),
    "refunds": ("sum(refunds)", "1"),
}
"""Numerator and denominator of each metric of `rpt_daily_kpis`."""
BETS = {
    "turnover": ("turnover", "1"),
    "winnings": ("winnings", "1"),
    "ggr": ("turnover - winnings", "1"),
    "ngr": ("ngr", "1"),
    "rtp": ("winnings", "turnover"),
    "hold": ("turnover - winnings", "turnover"),
    "bet_count": ("bet_count", "1"),
    "unsettled_wager_count": ("unsettled_wager_count", "1"),
}


class Marts:
    """The marts of a warehouse, for one figure at a time. `last` is the last day that ended."""

    def __init__(self, warehouse: duckdb.DuckDBPyConnection, last: date) -> None:
        self.warehouse = warehouse
        self.last = last

    def quotient(self, source: str, numerator: str, denominator: str, *values: Any) -> Number:
        """The quotient of two expressions over the rows of a source."""
        sql = f"select cast({numerator} as varchar), cast({denominator} as varchar) from {source}"
        found = self.warehouse.execute(sql, list(values)).fetchone()
        assert found is not None
        above, below = (None if text is None else Fraction(text) for text in found)
        return None if above is None or not below else above / below

    def expected(self, figure: dict[str, Any], *, is_previous: bool) -> Number:
        """What a figure that READ has read must be."""
        mart, column = figure["metric"].split(".")
        days = Range.of(self.last, figure["days"], is_previous=is_previous)
        application = figure["application"]
        if mart == "rpt_daily_kpis":
            above, below = (part.format(last=f"date '{days.last}'") for part in KPIS[column])
            where = f"marts.{mart} where application_id = ? and {days.where('kpi_date')}"
            return self.quotient(where, above, below, application)
        if mart == "fct_player_days":
            players = (
                "(select distinct player_id from marts.fct_player_days where application_id = ?"
                f" and is_payer and {days.where('activity_date')})"
            )
            known = f"marts.rpt_daily_kpis where application_id = ? and {days.where('kpi_date')}"
            if not self.quotient(known, "count(*)", "1", application):
                return None
            return self.quotient(players, "count(*)", "1", application)
        if mart in {"rpt_retention", "rpt_ltv"}:
            return self._cohorts(mart, column, figure, days)
        if mart == "rpt_betting":
            return self._bets(column, figure, days)
        where = f"marts.{mart} where source_name = ? and {days.where('health_date')}"
        return self.quotient(where, f"sum({column})", "1", figure["source"])

    def _cohorts(self, mart: str, column: str, figure: dict[str, Any], days: Range) -> Number:
        age = "day_n" if mart == "rpt_retention" else "age_days"
        above, below = {
            "ltv": ("sum(cumulative_revenue)", "sum(cohort_size)"),
            "roas": ("sum(cumulative_revenue)", "sum(spend)"),
        }.get(column, (f"sum({column.replace('_rate', '_players')})", "sum(cohort_size)"))
        where = (
            f"marts.{mart} where application_id = ? and is_mature and {age} = ?"
            f" and {days.where(f'cohort_date + {age}')}"
        )
        return self.quotient(where, above, below, figure["application"], int(figure["n"]))

    def _bets(self, column: str, figure: dict[str, Any], days: Range) -> Number:
        def summed(part: str) -> str:
            return f"case when count({part}) = count(*) then coalesce(sum({part}), 0) end"

        above, below = BETS[column]
        where, values = "", []
        if figure["game"] == "(others)":
            shown = ", ".join("?" for _ in figure["shown"])
            where, values = f"and game_id not in ({shown})", list(figure["shown"])
        elif figure["game"] is not None:
            where, values = "and game_id = ?", [figure["game"]]
        return self.quotient(
            f"marts.rpt_betting where {days.where('bet_date')} {where}",
            summed(above),
            "1" if below == "1" else summed(below),
            *values,
        )


CHARTS = {
    "Active players": ("max_by(mau, kpi_date)", "max_by(wau, kpi_date)", "avg(dau)"),
    "DAU: new and returning players": ("avg(dau - new_players)", "avg(new_players)", "<avg(dau)"),
    "Revenue per day": (
        *("avg(iap_revenue)", "avg(ad_revenue)", "-avg(refunds)"),
        *("<avg(revenue)", "avg(revenue)"),
    ),
    "Payers per day": ("avg(payers)", "<avg(payers)"),
    "ARPDAU": ("<sum(revenue) / nullif(sum(dau), 0)", "sum(revenue) / nullif(sum(dau), 0)"),
    "Payer conversion": (
        "<100 * sum(payers) / nullif(sum(dau), 0)",
        "100 * sum(payers) / nullif(sum(dau), 0)",
    ),
}
"""The columns of the tables of the daily charts; `<` is the previous period."""


def chart_rows(
    warehouse: duckdb.DuckDBPyConnection, title: str, application: str, last: date, days: int
) -> Iterator[list[float | None]]:
    """The values that the table of a chart must have, row by row."""
    length = 1 if days <= 28 else 7
    ends = [last - timedelta(days=back) for back in range(0, days, length)][::-1]
    for end in ends:
        oldest = last - timedelta(days=days - 1)
        row: list[float | None] = []
        for expression in CHARTS[title]:
            shift = timedelta(days=days if expression.startswith("<") else 0)
            first = max(end - timedelta(days=length - 1), oldest) - shift
            where = Range(first, end - shift).where("kpi_date")
            found = warehouse.execute(
                f"select cast({expression.removeprefix('<')} as double) from marts.rpt_daily_kpis"
                f" where application_id = ? and {where}",
                [application],
            ).fetchone()
            assert found is not None
            row.append(found[0])
        yield row
