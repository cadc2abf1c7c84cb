"""The figures, charts and heat map of an application."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.site.report import heat_map, metrics
from include.site.report.charts import Series, chart
from include.site.report.daily import DailySeries, daily_chart, filled, last, per_day, ratio_of
from include.site.report.periods import Period
from include.site.report.queries import Data
from include.site.report.sections import panel
from include.site.report.whole_product import GAMES_SHOWN, betting

LAST = date(2026, 11, 29)
LONG_AGO = date(2020, 1, 1)


def _cohort(days_ago: int, n: int, size: int, players: int) -> dict[str, Any]:
    cohort_day = LAST - timedelta(days=days_ago)
    day = cohort_day + timedelta(days=n)
    row = {"cohort_day": cohort_day, "n": n, "day": day, "is_mature": day <= LAST}
    counts = dict.fromkeys([f"{kind}_players" for kind in metrics.KINDS], players)
    return {**row, "cohort_size": size, **counts}


def test_retention_is_over_the_cohorts_whose_day_falls_into_the_period() -> None:
    cohorts = [
        # Day 7 of these is in the last seven days.
        _cohort(7, 7, 10, 5),
        _cohort(13, 7, 90, 5),
        # Day 7 of this one is in the previous period, and of the last one in the future.
        _cohort(14, 7, 100, 50),
        _cohort(6, 7, 1000, 0),
    ]
    found = panel(Data(retention={"a": cohorts}), "a", 7, "USD")
    assert found is not None
    (tile,) = found.retention
    assert tile.n == 7
    assert tile.figure.now == pytest.approx(0.1)
    assert tile.figure.before == pytest.approx(0.5)
    assert found.retention_rows[0].size == 100


def test_ltv_divides_the_revenue_of_all_cohorts_by_all_installs() -> None:
    rows = [
        {**_cohort(7, 7, 1, 0), "cumulative_revenue": Decimal("10"), "spend": Decimal(0)},
        {**_cohort(8, 7, 3, 0), "cumulative_revenue": Decimal("-1"), "spend": Decimal(4)},
    ]
    found = panel(Data(ltv={"a": rows}), "a", 7, "USD")
    assert found is not None
    ltv, roas = found.ltv_rows[0].figures
    assert ltv.now == Decimal("2.2500")
    assert roas.now == pytest.approx(9 / 4)


def test_an_application_without_a_mature_cohort_or_kpis_has_no_panel() -> None:
    assert panel(Data(retention={"a": [_cohort(0, 1, 5, 0)]}), "a", 7, "USD") is None


def test_the_heat_map_sums_weeks_and_marks_days_that_have_not_ended() -> None:
    cohorts = [_cohort(2, 1, 10, 5), _cohort(1, 1, 30, 5), _cohort(0, 1, 7, 0)]
    (row,) = heat_map.rows(cohorts, [1], Period(28, LAST, LAST - timedelta(days=2)))
    assert row.size == 47
    (cell,) = row.cells
    assert cell.rate == pytest.approx(10 / 40)
    assert cell.is_partial


def test_the_heat_map_of_a_short_period_has_a_row_per_day() -> None:
    cohorts = [_cohort(days, n, 4, 1) for days in range(30) for n in (1, 3)]
    rows = heat_map.rows(cohorts, [1, 3], Period(7, LAST, LONG_AGO))
    assert [row.is_previous for row in rows] == [False] * 7 + [True] * 7
    assert [cell.rate for cell in rows[0].cells] == [None, None]
    assert [cell.rate for cell in rows[1].cells] == [0.25, None]
    assert rows[0].label == "29 Nov"


@pytest.mark.parametrize(("rate", "level"), [(0.0, 0), (0.03, 1), (0.25, 3), (1.0, 6)])
def test_low_rates_have_different_colours(rate: float, level: int) -> None:
    assert heat_map.Cell(rate, 1, 1, False).level == level


def test_a_week_has_averages_quotients_of_sums_and_the_last_wau() -> None:
    rows = [
        {"day": LAST - timedelta(days=1), "wau": 9, "payers": 1, "dau": 1, "x": Decimal(1)},
        {"day": LAST, "wau": 5, "payers": 1, "dau": 99, "x": Decimal(2)},
    ]
    assert last("wau")(rows) == 5
    assert per_day("dau")(rows) == 50
    assert per_day("x")(rows) == Decimal("1.5000")
    assert per_day("x", sign=-1)(rows[:1]) == -1
    assert ratio_of(metrics.CONVERSION)(rows) == pytest.approx(0.02)


def test_a_long_period_has_a_point_per_week() -> None:
    rows = [{"day": LAST - timedelta(days=age), "dau": 7} for age in range(200)]
    series = DailySeries("DAU", "c1", per_day("dau"), rows)
    found = daily_chart("t", Period(90, LAST, LONG_AGO), "count", lines=[series])
    assert len(found.strips) == 13
    assert len(daily_chart("t", Period(28, LAST, LONG_AGO), "count", lines=[series]).strips) == 28


def test_a_day_without_a_row_is_a_day_of_zeros_for_bets_and_files() -> None:
    rows = filled([{"day": LAST, "n": 5}], LAST - timedelta(days=2), LAST, ["n"], ["m"])
    assert [row["n"] for row in rows] == [0, 0, 5]


def test_refunds_are_stacked_below_zero() -> None:
    found = chart(
        "t",
        ["a", "b"],
        "money",
        columns=[
            Series("up", "c1", [Decimal(10), Decimal(0)]),
            Series("down", "negative", [Decimal(-4), None]),
        ],
        ticks_at={},
    )
    up, down = found.bars
    assert up.y + up.height == pytest.approx(found.zero, abs=0.11)
    assert down.y == pytest.approx(found.zero, abs=0.11)
    assert found.strips[0].text == "a\nup: 10\ndown: −4"
    assert found.strips[1].text == "b\nup: 0\ndown: –"


def test_a_gap_interrupts_a_line_and_an_isolated_value_is_a_dot() -> None:
    values = [1, 2, None, 3, None, *range(20)]
    labels = [str(place) for place in range(len(values))]
    (line,) = chart("t", labels, "count", lines=[Series("s", "c1", values)], ticks_at={}).lines
    assert line.path.count("M") == 3
    # The isolated value and the last one.
    assert len(line.dots) == 2


def test_a_chart_without_values_is_empty_and_one_of_zeros_says_so() -> None:
    nothing = chart("t", ["a"], "count", lines=[Series("s", "c1", [None])], ticks_at={})
    zeros = chart("t", ["a"], "count", columns=[Series("s", "c1", [0])], ticks_at={})
    assert (nothing.is_empty, nothing.is_zero) == (True, False)
    assert (zeros.is_empty, zeros.is_zero) == (True, True)


def test_a_chart_is_described_for_those_who_cannot_see_it() -> None:
    found = chart("DAU", ["a", "b"], "count", lines=[Series("s", "c1", [1, 2000])], ticks_at={})
    assert found.summary == "DAU. s from 1 (a) to 2,000 (b). The table below has all values."


def _bets(game: str, turnover: int | None) -> dict[str, Any]:
    money = dict.fromkeys(("winnings", "ggr", "ngr"), Decimal(1))
    known = None if turnover is None else Decimal(turnover)
    row = {"game_id": game, "game_name": game, "bet_count": 2, "unsettled_wager_count": 0}
    return {**row, **money, "turnover": known}


def test_the_games_add_up_to_the_total_and_unknown_money_stays_unknown() -> None:
    games = [_bets(f"g{number:02}", number) for number in range(GAMES_SHOWN + 3)]
    games.append(_bets("unknown", None))
    day = {"day": LAST, **{k: v for k, v in _bets("", 1).items() if not k.startswith("game")}}
    data = Data(bets=[day], first_bet_day=LAST, games={(7, False): games})
    found = betting(data, 7, "USD")
    assert found is not None
    assert len(found.games) == GAMES_SHOWN + 1
    others = found.games[-1]
    assert (others.name, others.game_id) == ("All 4 other games", None)
    by_metric = {figure.metric.column: figure.now for figure in others.figures}
    assert by_metric["turnover"] is None
    assert by_metric["ggr"] == 4
    assert by_metric["bet_count"] == 8
    assert found.games[0].game_id == f"g{GAMES_SHOWN + 2}"
