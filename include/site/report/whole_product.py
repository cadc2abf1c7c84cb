"""The figures, charts and tables that have no application: betting and data health."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from include.site.report import metrics
from include.site.report.charts import Chart
from include.site.report.daily import DailySeries, daily_chart, filled, per_day, ratio_of
from include.site.report.metrics import Metric, Row, figure, total, value
from include.site.report.periods import HISTORY_DAYS, Period
from include.site.report.queries import BET_COUNTS, BET_MONEY, HEALTH_COUNTS, Data
from include.site.report.sections import Tile, counted

GAMES_SHOWN = 20
"""The games with the highest turnover have a row of their own; the others share one."""


@dataclass(frozen=True)
class GameRow:
    """A game, or all others, which have no id. `bar` is the GGR in percent of the largest one."""

    game_id: str | None
    name: str
    figures: Sequence[metrics.Figure]
    bar: float
    is_negative: bool


@dataclass(frozen=True)
class Betting:
    """Betting in one period."""

    period: Period
    tiles: Sequence[Tile]
    charts: Sequence[Chart]
    games: Sequence[GameRow]
    has_unknown_money: bool


@dataclass(frozen=True)
class Source:
    """The data health of one source in one period."""

    name: str
    period: Period
    tiles: Sequence[Tile]
    charts: Sequence[Chart]


def betting(data: Data, days: int, currency: str) -> Betting | None:
    """Betting in a period; None if there is no bet on a day that has ended."""
    if not data.bets or data.first_bet_day is None:
        return None
    last = data.bets[-1]["day"]
    period = Period(days, last, data.first_bet_day)
    oldest = Period(HISTORY_DAYS, last, data.first_bet_day).first
    rows = filled(data.bets, max(oldest, data.first_bet_day), last, BET_COUNTS, BET_MONEY)
    tiles = [Tile(metric.label, figure(metric, rows, period)) for metric in metrics.BETS_AND_MONEY]
    series = partial(DailySeries, rows=rows)
    charts = [
        daily_chart(
            "GGR and NGR per day",
            period,
            "money",
            columns=[series("GGR", "c1", per_day("ggr"))],
            lines=[
                series("GGR, previous period", "before", per_day("ggr"), is_previous=True),
                series("NGR", "c2", per_day("ngr")),
            ],
            unit=currency,
        ),
        daily_chart(
            "RTP",
            period,
            "rate",
            lines=[
                series("Previous period", "before", ratio_of(metrics.RTP), is_previous=True),
                series("RTP", "c1", ratio_of(metrics.RTP)),
            ],
        ),
    ]
    games = _games(data.games.get((days, False), []), data.games.get((days, True), []), period)
    unknown = any(tile.figure.now is None for tile in tiles[:4])
    return Betting(period, tiles, charts, games, unknown)


def _games(now: Sequence[Row], before: Sequence[Row], period: Period) -> list[GameRow]:
    """The games by turnover, an unknown turnover last, and the sum of all others."""
    zeros = {**dict.fromkeys(BET_MONEY, Decimal(0)), **dict.fromkeys(BET_COUNTS, 0)}
    current = {row["game_id"]: row for row in now}
    previous = {row["game_id"]: row for row in before}
    names = {row["game_id"]: row["game_name"] or row["game_id"] for row in (*before, *now)}

    def order(game: str) -> tuple[bool, Decimal, str]:
        turnover = current.get(game, zeros)["turnover"]
        return turnover is None, -(turnover or Decimal(0)), game

    ranked = sorted(names, key=order)
    shown, others = ranked[:GAMES_SHOWN], ranked[GAMES_SHOWN:]
    if len(others) == 1:
        shown, others = ranked, []
    rows: list[tuple[str | None, str, Row, Row]] = [
        (game, names[game], current.get(game, zeros), previous.get(game, zeros)) for game in shown
    ]
    if others:
        now_summed, before_summed = (
            {
                name: total([found.get(game, zeros) for game in others], name)
                for name in (*BET_MONEY, *BET_COUNTS)
            }
            for found in (current, previous)
        )
        rows.append((None, f"All {len(others)} other games", now_summed, before_summed))
    largest = max((abs(row["ggr"] or 0) for game, _, row, _ in rows if game is not None), default=0)
    return [
        GameRow(
            game,
            name,
            [
                counted(metric, period, value(metric, [row], period), _before(metric, was, period))
                for metric in metrics.BY_GAME
            ],
            round(float(abs(row["ggr"] or 0) / largest) * 100, 1)
            if largest and game is not None
            else 0.0,
            (row["ggr"] or 0) < 0,
        )
        for game, name, row, was in rows
    ]


def _before(metric: Metric, row: Row, period: Period) -> metrics.Number | None:
    return value(metric, [row], period.previous)


def health(data: Data, days: int) -> list[Source]:
    """The data health of each source in a period that ends with the newest day of all sources."""
    if not data.health:
        return []
    last = max(row["day"] for rows in data.health.values() for row in rows)
    found = []
    for name, known in data.health.items():
        first = data.first_health_days[name]
        period = Period(days, last, first)
        oldest = Period(HISTORY_DAYS, last, first).first
        rows = filled(known, max(oldest, first), last, HEALTH_COUNTS)
        found.append(
            Source(
                name,
                period,
                [Tile(m.label, figure(m, rows, period)) for m in metrics.HEALTH_MEASURES],
                _health_charts(name, rows, period),
            )
        )
    return found


def _health_charts(name: str, rows: Sequence[Row], period: Period) -> list[Chart]:
    series = partial(DailySeries, rows=rows)
    return [
        daily_chart(
            f"Landed rows per day, {name}",
            period,
            "count",
            columns=[series("Landed rows", "c1", per_day("landed_count"))],
            lines=[series("Previous period", "before", per_day("landed_count"), is_previous=True)],
        ),
        daily_chart(
            f"Rows with a fault per day, {name}",
            period,
            "count",
            columns=[
                series("Not valid", "c4", per_day("schema_mismatch_count")),
                series("Duplicates", "c3", per_day("duplicate_count")),
                series("Rejected", "negative", per_day("rejected_count")),
            ],
        ),
    ]
