"""The figures, charts and tables of one application and period."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from include.site.report import formats, heat_map, metrics
from include.site.report.charts import Chart, Series, chart
from include.site.report.metrics import (
    Figure,
    Metric,
    Number,
    Row,
    coverage,
    figure,
    ratio,
    total,
    value,
)
from include.site.report.periods import Period
from include.site.report.queries import Data, known_from, last_day
from include.site.report.scales import day_ticks

TILE_DAYS = (1, 7, 30)
"""The days N of retention that have a tile."""
TILE_AGES = (7, 30, 90)
"""The ages of LTV that have a tile."""


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
    ltv_chart: Chart | None
    ltv_rows: Sequence[CohortRow]

    def tile(self, metric: Metric) -> Figure | None:
        """The figure of a metric."""
        tiles = [*self.activity, *self.money]
        return next((tile.figure for tile in tiles if tile.figure.metric == metric), None)

    @property
    def is_partly_known(self) -> bool:
        """Whether the marts lack days of the period or of the previous one."""
        return not (
            self.period.coverage().is_complete and self.period.previous.coverage().is_complete
        )


def panel(data: Data, application: str, days: int, currency: str) -> Panel | None:
    """The panel of an application; None if the marts hold no day of it that has ended."""
    last = last_day(data, application)
    if last is None:
        return None
    period = Period(days, last, known_from(data, application, last))
    kpis = data.kpis.get(application, [])
    retention = data.retention.get(application, [])
    ltv = data.ltv.get(application, [])
    numbers = sorted({row["n"] for row in retention})
    ages = sorted({row["n"] for row in ltv})
    retention_rows = _cohort_rows(
        retention, data.retention_overall.get(application, []), numbers, period,
        tuple(metrics.RETAINED.values()),
    )
    ltv_rows = _cohort_rows(
        ltv, data.ltv_overall.get(application, []), ages, period,
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
        ltv=[*_cohort_tiles(ltv_rows, TILE_AGES, 0), *_cohort_tiles(ltv_rows, TILE_AGES[1:2], 1)],
        ltv_chart=_ltv_chart(ltv_rows, currency) if ltv_rows else None,
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


def counted(
    metric: Metric, period: Period, now: Number | None, before: Number | None
) -> Figure:
    """A figure that the warehouse has made. It is unknown if the mart has no day of the period."""
    covered, covered_before = coverage(metric, period), coverage(metric, period.previous)
    return Figure(
        metric,
        now if covered.covered else None,
        before if covered_before.covered else None,
        covered,
        covered_before,
    )


def by_day(
    period: Period, rows: Sequence[Row], column: str | Callable[[Row], Number | None]
) -> list[Number | None]:
    """A value for each day of a period; None for a day without a row."""
    found = {row["day"]: row[column] if isinstance(column, str) else column(row) for row in rows}
    return [found.get(day) for day in period.dates]


def daily_chart(
    title: str,
    period: Period,
    form: str,
    *,
    lines: Sequence[Series] = (),
    columns: Sequence[Series] = (),
    unit: str = "",
    note: str = "",
) -> Chart:
    """A chart with a point for each day of a period."""
    return chart(
        title,
        [formats.day(day) for day in period.dates],
        form,
        lines=lines,
        columns=columns,
        places=day_ticks(period.dates),
        unit=unit,
        note=note,
    )


def _activity_charts(kpis: Sequence[Row], period: Period) -> list[Chart]:
    return [
        daily_chart(
            "Active players",
            period,
            "count",
            lines=[
                Series("MAU", "c3", by_day(period, kpis, "mau")),
                Series("WAU", "c2", by_day(period, kpis, "wau")),
                Series("DAU, previous period", "before", by_day(period.previous, kpis, "dau")),
                Series("DAU", "c1", by_day(period, kpis, "dau")),
            ],
        ),
        daily_chart(
            "New and returning players",
            period,
            "count",
            columns=[
                Series("Returning", "c1", by_day(period, kpis, "returning_players")),
                Series("New", "c2", by_day(period, kpis, "new_players")),
            ],
        ),
    ]


def _money_charts(kpis: Sequence[Row], period: Period, currency: str) -> list[Chart]:
    def refunds(row: Row) -> Number | None:
        # Decimal has a zero with a sign, which would be shown.
        return -row["refunds"] + 0 if row["refunds"] is not None else None

    charts = [
        daily_chart(
            "Revenue per day",
            period,
            "money",
            columns=[
                Series("In-app purchases", "c1", by_day(period, kpis, "iap_revenue")),
                Series("Ads", "c2", by_day(period, kpis, "ad_revenue")),
                Series("Refunds", "negative", by_day(period, kpis, refunds)),
            ],
            lines=[
                Series(
                    "Revenue, previous period", "before", by_day(period.previous, kpis, "revenue")
                ),
                Series("Revenue", "ink", by_day(period, kpis, "revenue")),
            ],
            unit=currency,
        )
    ]
    for metric, unit in ((metrics.ARPDAU, currency), (metrics.CONVERSION, "")):

        def of_day(row: Row, metric: Metric = metric) -> Number | None:
            return value(metric, [row], period)

        charts.append(
            daily_chart(
                f"{metric.label} per day",
                period,
                metric.form,
                lines=[
                    Series("Previous period", "before", by_day(period.previous, kpis, of_day)),
                    Series(metric.label, "c1", by_day(period, kpis, of_day)),
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
        Tile(f"{row.figures[place].metric.label}, day {row.n}", row.figures[place], row.n)
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
    return _cohort_chart("Retention by day N", rows, "rate", lines)


def _ltv_chart(rows: Sequence[CohortRow], currency: str) -> Chart:
    lines = [
        Series("Previous period", "before", [row.figures[0].before for row in rows]),
        Series("All cohorts", "c2", [row.overall for row in rows]),
        Series("LTV", "c1", [row.figures[0].now for row in rows]),
    ]
    return _cohort_chart("LTV by age", rows, "unit_money", lines, unit=currency)


def _cohort_chart(
    title: str, rows: Sequence[CohortRow], form: str, lines: Sequence[Series], unit: str = ""
) -> Chart:
    return chart(
        title,
        [f"Day {row.n}" for row in rows],
        form,
        lines=lines,
        places=range(len(rows)),
        point="Age",
        unit=unit,
        note="The ages are drawn at equal distances.",
    )


def filled(
    rows: Sequence[Row], first: date, last: date, counts: Sequence[str], money: Sequence[str] = ()
) -> list[Row]:
    """The rows with a row of zeros for each day between `first` and `last` that has none.

    A day without bets or files has no row in its mart.
    """
    zeros = {**dict.fromkeys(counts, 0), **dict.fromkeys(money, Decimal(0))}
    there = {row["day"]: row for row in rows}
    days = Period((last - first).days + 1, last, first).dates
    return [there.get(day, {"day": day, **zeros}) for day in days]
