"""The figures, charts and tables of one application and period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from include.site.report import heat_map, metrics
from include.site.report.charts import Chart, Series, chart
from include.site.report.daily import DailySeries, daily_chart, last, per_day, ratio_of
from include.site.report.metrics import (
    Figure,
    Metric,
    Number,
    Row,
    coverage,
    figure,
    ratio,
    total,
)
from include.site.report.periods import Period
from include.site.report.queries import Data, known_from, last_day

TILE_DAYS = (1, 3, 7, 14, 30, 90)
"""The days N of retention that have a tile."""
TILE_AGES = (7, 30, 90)
"""The ages of LTV and ROAS that have a tile."""


@dataclass(frozen=True)
class Tile:
    """A figure with its label, and with the day N if it has one."""

    label: str
    figure: Figure
    n: int | None = None


@dataclass(frozen=True)
class CohortRow:
    """Day N of a table of cohorts: the players in the cohorts, the figures, and all cohorts."""

    n: int
    size: Number | None
    figures: Sequence[Figure]
    overall: Number | None


@dataclass(frozen=True)
class Panel:
    """One application in one period."""

    application: str
    period: Period
    activity: Sequence[Tile]
    activity_charts: Sequence[Chart]
    money: Sequence[Tile]
    money_charts: Sequence[Chart]
    retention: Sequence[Tile]
    retention_chart: Chart | None
    retention_rows: Sequence[CohortRow]
    heat_days: Sequence[int]
    heat_rows: Sequence[heat_map.HeatRow]
    ltv: Sequence[Tile]
    ltv_charts: Sequence[Chart]
    ltv_rows: Sequence[CohortRow]

    def tile(self, metric: Metric) -> Figure | None:
        """The figure of a metric."""
        tiles = [*self.activity, *self.money]
        return next((tile.figure for tile in tiles if tile.figure.metric == metric), None)


def panel(data: Data, application: str, days: int, currency: str) -> Panel | None:
    """The panel of an application; None if the marts hold no day of it that has ended."""
    as_of = last_day(data, application)
    if as_of is None:
        return None
    period = Period(days, as_of, known_from(data, application, as_of))
    kpis = data.kpis.get(application, [])
    retention = data.retention.get(application, [])
    ltv = data.ltv.get(application, [])
    numbers = sorted({row["n"] for row in retention})
    ages = sorted({row["n"] for row in ltv})
    retention_rows = _cohort_rows(
        retention,
        data.retention_overall.get(application, []),
        numbers,
        period,
        tuple(metrics.RETAINED.values()),
    )
    ltv_rows = _cohort_rows(
        ltv,
        data.ltv_overall.get(application, []),
        ages,
        period,
        (metrics.LIFETIME_VALUE, metrics.ROAS),
    )
    return Panel(
        application=application,
        period=period,
        activity=[_tile(m, kpis, period) for m in metrics.ACTIVITY] if kpis else [],
        activity_charts=_activity_charts(kpis, period) if kpis else [],
        money=_money(data, application, kpis, period) if kpis else [],
        money_charts=_money_charts(kpis, period, currency) if kpis else [],
        retention=_cohort_tiles(retention_rows, TILE_DAYS, 0),
        retention_chart=_retention_chart(retention_rows) if retention_rows else None,
        retention_rows=retention_rows,
        heat_days=numbers,
        heat_rows=heat_map.rows(retention, numbers, period) if numbers else [],
        ltv=[*_cohort_tiles(ltv_rows, TILE_AGES, 0), *_cohort_tiles(ltv_rows, TILE_AGES, 1)],
        ltv_charts=_ltv_charts(ltv_rows, currency) if ltv_rows else [],
        ltv_rows=ltv_rows,
    )


def _tile(metric: Metric, rows: Sequence[Row], period: Period) -> Tile:
    return Tile(metric.label, figure(metric, rows, period))


def _money(data: Data, application: str, kpis: Sequence[Row], period: Period) -> list[Tile]:
    tiles = []
    for metric in metrics.MONEY:
        if metric is metrics.PAYERS:
            found = counted(
                metric,
                period,
                data.payers.get((application, period.days, False)),
                data.payers.get((application, period.days, True)),
            )
            tiles.append(Tile(metric.label, found))
        else:
            tiles.append(_tile(metric, kpis, period))
    return tiles


def counted(metric: Metric, period: Period, now: Number | None, before: Number | None) -> Figure:
    """A figure that the warehouse has made. It is unknown if the mart has no day of the period."""
    covered, covered_before = coverage(metric, period), coverage(metric, period.previous)
    return Figure(
        metric,
        now if covered.covered else None,
        before if covered_before.covered else None,
        covered,
        covered_before,
    )


def _activity_charts(kpis: Sequence[Row], period: Period) -> list[Chart]:
    series = partial(DailySeries, rows=kpis)
    return [
        daily_chart(
            "Active players",
            period,
            "count",
            lines=[
                series("MAU", "c3", last("mau")),
                series("WAU", "c2", last("wau")),
                series("DAU", "c1", per_day("dau")),
            ],
        ),
        daily_chart(
            "DAU: new and returning players",
            period,
            "count",
            columns=[
                series("Returning", "c1", per_day("returning_players")),
                series("New", "c2", per_day("new_players")),
            ],
            lines=[series("DAU, previous period", "before", per_day("dau"), is_previous=True)],
        ),
    ]


def _money_charts(kpis: Sequence[Row], period: Period, currency: str) -> list[Chart]:
    series = partial(DailySeries, rows=kpis)
    charts = [
        daily_chart(
            "Revenue per day",
            period,
            "money",
            columns=[
                series("In-app purchases", "c1", per_day("iap_revenue")),
                series("Ads", "c2", per_day("ad_revenue")),
                series("Refunds", "negative", per_day("refunds", sign=-1)),
            ],
            lines=[
                series("Revenue, previous period", "before", per_day("revenue"), is_previous=True),
                series("Revenue", "ink", per_day("revenue")),
            ],
            unit=currency,
        ),
        daily_chart(
            "Payers per day",
            period,
            "count",
            columns=[series("Payers", "c1", per_day("payers"))],
            lines=[series("Previous period", "before", per_day("payers"), is_previous=True)],
        ),
    ]
    for metric, unit in ((metrics.ARPDAU, currency), (metrics.CONVERSION, "")):
        charts.append(
            daily_chart(
                metric.label,
                period,
                metric.form,
                lines=[
                    series("Previous period", "before", ratio_of(metric), is_previous=True),
                    series(metric.label, "c1", ratio_of(metric)),
                ],
                unit=unit,
            )
        )
    return charts


def _cohort_rows(
    cohorts: Sequence[Row],
    overall: Sequence[Row],
    numbers: Sequence[int],
    period: Period,
    of: Sequence[Metric],
) -> list[CohortRow]:
    """The figures of each day N, over the cohorts whose day N falls into the period."""
    everything = {row["n"]: row for row in overall}
    found = []
    for number in numbers:
        mature = [row for row in cohorts if row["n"] == number and row["is_mature"]]
        shifted = period.starting(number)
        whole = everything.get(number)
        found.append(
            CohortRow(
                number,
                total([row for row in mature if period.has(row["day"])], "cohort_size"),
                [figure(metric, mature, shifted) for metric in of],
                _overall(of[0], whole) if whole else None,
            )
        )
    return found


def _overall(metric: Metric, row: Row) -> Number | None:
    return ratio(row[metric.numerator], row[metric.denominator], money="money" in metric.form)


def _cohort_tiles(rows: Sequence[CohortRow], numbers: Sequence[int], place: int) -> list[Tile]:
    return [
        Tile(
            f"{row.figures[place].metric.label.removesuffix(' retention')}, day {row.n}",
            row.figures[place],
            row.n,
        )
        for row in rows
        if row.n in numbers
    ]


def _retention_chart(rows: Sequence[CohortRow]) -> Chart:
    styles = {"classic": "c1", "rolling": "c2", "return": "c3", "full": "c4"}
    kinds: Mapping[str, int] = {kind: place for place, kind in enumerate(metrics.KINDS)}
    lines = [
        Series(kind.capitalize(), styles[kind], [row.figures[place].now for row in rows])
        for kind, place in sorted(kinds.items(), key=lambda item: -item[1])
    ]
    before = [row.figures[0].before for row in rows]
    lines.insert(len(lines) - 1, Series("Classic, previous period", "before", before))
    return _cohort_chart("Retention by days since the first activity", rows, "rate", lines)


def _ltv_charts(rows: Sequence[CohortRow], currency: str) -> list[Chart]:
    ltv = [
        Series("Previous period", "before", [row.figures[0].before for row in rows]),
        Series("All cohorts", "c2", [row.overall for row in rows]),
        Series("LTV", "c1", [row.figures[0].now for row in rows]),
    ]
    roas = [
        Series("Previous period", "before", [row.figures[1].before for row in rows]),
        Series("ROAS", "c1", [row.figures[1].now for row in rows]),
    ]
    return [
        _cohort_chart(
            "LTV by days since the first activity", rows, "unit_money", ltv, unit=currency
        ),
        _cohort_chart("ROAS by days since the first activity", rows, "rate", roas),
    ]


def _cohort_chart(
    title: str, rows: Sequence[CohortRow], form: str, lines: Sequence[Series], unit: str = ""
) -> Chart:
    return chart(
        title,
        [f"Day {row.n}" for row in rows],
        form,
        lines=lines,
        ticks_at={place: str(row.n) for place, row in enumerate(rows)},
        point="Age",
        unit=unit,
        note="The ages are drawn at equal distances.",
    )
