"""The rows of each section, with one query per mart, alike on both engines.

In front of QUALIFY a table has an alias, because Redshift refuses the query without one.

A query reads the days of the longest period and of the one before it. What is counted per game or
player is summed in the warehouse, so that the rows that are read do not grow with games or players.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from include.site.report.metrics import HEALTH_MEASURES, KINDS
from include.site.report.periods import HISTORY_DAYS, PERIODS, Period
from include.warehouse.database import Database

MARTS = (
    *("rpt_daily_kpis", "fct_player_days", "rpt_retention", "rpt_retention_overall", "rpt_ltv"),
    *("rpt_ltv_overall", "rpt_betting", "dim_games", "rpt_data_health"),
)

KPI_COUNTS = ("dau", "wau", "mau", "new_players", "returning_players", "session_count", "payers")
KPI_MONEY = ("iap_revenue", "ad_revenue", "refunds", "revenue")
BET_MONEY = ("turnover", "winnings", "ggr", "ngr")
BET_COUNTS = ("bet_count", "unsettled_wager_count")
HEALTH_COUNTS = tuple(metric.column for metric in HEALTH_MEASURES)

Rows = list[dict[str, Any]]


@dataclass
class Data:
    """What the page needs from the marts. The rows of a mart that does not exist are missing.

    `kpis`, `retention` and `ltv` are the rows by application; the rows of the last two have day N
    of the cohort as `day`. `payers` is the count by application, length of the period, and whether
    it is the previous one. `games` has the rows by game for the same two keys. `bets` and `health`
    are the rows by day. `last_bet_day` and `last_health_day` are not after the last day that has
    ended.
    """

    missing: frozenset[str] = frozenset(MARTS)
    kpis: dict[str, Rows] = field(default_factory=dict)
    payers: dict[tuple[str, int, bool], int] = field(default_factory=dict)
    retention: dict[str, Rows] = field(default_factory=dict)
    retention_overall: dict[str, Rows] = field(default_factory=dict)
    ltv: dict[str, Rows] = field(default_factory=dict)
    ltv_overall: dict[str, Rows] = field(default_factory=dict)
    bets: Rows = field(default_factory=list)
    games: dict[tuple[int, bool], Rows] = field(default_factory=dict)
    health: dict[str, Rows] = field(default_factory=dict)
    first_days: dict[str, date] = field(default_factory=dict)
    first_bet_day: date | None = None
    first_health_days: dict[str, date] = field(default_factory=dict)


def read(warehouse: Database, schema: str, today: date) -> Data:
    """Read all sections. `today` has not ended, so its bets and files are left out."""
    found = warehouse.rows(
        "select table_name from information_schema.tables where table_schema = ?", [schema]
    )
    there = {name for (name,) in found} & set(MARTS)
    data = Data(missing=frozenset(MARTS) - there)
    if "rpt_daily_kpis" in there:
        _read_kpis(warehouse, schema, data)
        if "fct_player_days" in there:
            _read_payers(warehouse, schema, data)
    if "rpt_retention" in there:
        columns = ("cohort_size", *(f"{kind}_players" for kind in KINDS))
        sums = ", ".join(columns)
        source = (
            f"select application_id, cohort_date, day_n, is_mature, {sums}"
            f" from {schema}.rpt_retention"
        )
        data.retention = _cohorts(warehouse, source, "day_n", columns)
    if "rpt_retention_overall" in there:
        columns = ("cohort_size", *(f"{kind}_players" for kind in KINDS))
        data.retention_overall = _overall(
            warehouse, f"{schema}.rpt_retention_overall", "day_n", columns
        )
    if "rpt_ltv" in there:
        columns = ("cohort_size", "cumulative_revenue", "spend")
        source = (
            "select application_id, cohort_date, age_days, is_mature,"
            " sum(cohort_size) as cohort_size, sum(cumulative_revenue) as cumulative_revenue,"
            " coalesce(sum(spend), 0) as spend"
            f" from {schema}.rpt_ltv group by 1, 2, 3, 4"
        )
        data.ltv = _cohorts(warehouse, source, "age_days", columns)
    if "rpt_ltv_overall" in there:
        columns = ("cohort_size", "cumulative_revenue", "spend")
        data.ltv_overall = _overall(warehouse, f"{schema}.rpt_ltv_overall", "age_days", columns)
    if "rpt_betting" in there:
        _read_bets(warehouse, schema, data, today)
        _read_games(warehouse, schema, data)
    if "rpt_data_health" in there:
        _read_health(warehouse, schema, data, today)
    return data


def _read_kpis(warehouse: Database, schema: str, data: Data) -> None:
    columns = (*KPI_COUNTS, *KPI_MONEY)
    rows = warehouse.rows(
        f"select application_id, kpi_date, {', '.join(columns)},"
        " min(kpi_date) over (partition by application_id) as first_date"
        f" from {schema}.rpt_daily_kpis as kpis"
        " qualify row_number() over (partition by application_id order by kpi_date desc) <= ?"
        " order by 1, 2",
        [HISTORY_DAYS],
    )
    for application, day, *values, first in rows:
        row = {"day": day, **dict(zip(columns, values, strict=True))}
        data.kpis.setdefault(application, []).append(_whole(row, KPI_COUNTS))
        data.first_days[application] = first


def _read_payers(warehouse: Database, schema: str, data: Data) -> None:
    """Count the players who paid in each period, who cannot be summed over days."""
    if not data.kpis:
        return
    counts = []
    keys = [(days, is_previous) for days in PERIODS for is_previous in (False, True)]
    for days, is_previous in keys:
        oldest = 2 * days if is_previous else days
        newest = days if is_previous else 0
        counts.append(
            "count(distinct case when"
            f" player_days.activity_date > last_days.last_date - {oldest}"
            f" and player_days.activity_date <= last_days.last_date - {newest}"
            " then player_days.player_id end)"
        )
    rows = warehouse.rows(
        f"with last_days as (select application_id, max(kpi_date) as last_date"
        f" from {schema}.rpt_daily_kpis group by 1)"
        f" select last_days.application_id, {', '.join(counts)}"
        f" from last_days left join {schema}.fct_player_days as player_days"
        " on last_days.application_id = player_days.application_id and player_days.is_payer"
        f" and player_days.activity_date > last_days.last_date - {HISTORY_DAYS}"
        " group by 1 order by 1"
    )
    for application, *found in rows:
        for (days, is_previous), count in zip(keys, found, strict=True):
            data.payers[application, days, is_previous] = int(count)


def _cohorts(
    warehouse: Database, source: str, age: str, columns: tuple[str, ...]
) -> dict[str, Rows]:
    """The cohorts whose day N is in the longest period, in the one before it, or in the future."""
    names = ", ".join(columns)
    rows = warehouse.rows(
        f"with cohorts as ({source})"
        f" select application_id, cohort_date, {age}, cohort_date + {age} as day, is_mature,"
        f" {names} from cohorts as cohorts"
        f" qualify cohort_date + {age} > max(case when is_mature then cohort_date + {age} end)"
        f" over (partition by application_id) - {HISTORY_DAYS} order by 1, 2, 3"
    )
    found: dict[str, Rows] = {}
    for application, cohort_day, number, day, is_mature, *values in rows:
        row = {"cohort_day": _day(cohort_day), "n": number, "day": _day(day)}
        row["is_mature"] = is_mature
        row |= dict(zip(columns, values, strict=True))
        counts = [name for name in columns if name.endswith(("_size", "_players"))]
        found.setdefault(application, []).append(_whole(row, counts))
    return found


def _overall(warehouse: Database, mart: str, age: str, columns: tuple[str, ...]) -> dict[str, Rows]:
    rows = warehouse.rows(
        f"select application_id, {age}, {', '.join(columns)} from {mart} order by 1, 2"
    )
    found: dict[str, Rows] = {}
    for application, number, *values in rows:
        row = {"n": number, **dict(zip(columns, values, strict=True))}
        found.setdefault(application, []).append(row)
    return found


def _read_bets(warehouse: Database, schema: str, data: Data, today: date) -> None:
    """Sum the games of each day. A sum with an unknown amount is unknown, as in the mart."""
    names = (*BET_MONEY, *BET_COUNTS)
    sums = ", ".join(
        [f"case when count({name}) = count(*) then sum({name}) end as {name}" for name in BET_MONEY]
        + [f"sum({name}) as {name}" for name in BET_COUNTS]
    )
    rows = warehouse.rows(
        f"with bet_days as (select bet_date, {sums} from {schema}.rpt_betting"
        f" where bet_date < date '{today}' group by 1)"
        f" select bet_date, {', '.join(names)}, min(bet_date) over () as first_date"
        " from bet_days as bet_days"
        f" qualify bet_date > max(bet_date) over () - {HISTORY_DAYS} order by 1"
    )
    for day, *values, first in rows:
        row = {"day": _day(day), **dict(zip(names, values, strict=True))}
        data.bets.append(_whole(row, BET_COUNTS))
        data.first_bet_day = _day(first)


def _read_games(warehouse: Database, schema: str, data: Data) -> None:
    """Sum the days of each game in each period."""
    if not data.bets:
        return
    last = data.bets[-1]["day"]
    ranges = []
    for days in PERIODS:
        period = Period(days, last, last)
        ranges += [(days, 0, period), (days, 1, period.previous)]
    periods = " union all ".join(
        f"select {days} as days, {is_previous} as is_previous,"
        f" date '{period.first}' as first_date, date '{period.last}' as last_date"
        for days, is_previous, period in ranges
    )
    sums = ", ".join(
        [f"case when count(bets.{n}) = count(*) then sum(bets.{n}) end" for n in BET_MONEY]
        + [f"sum(bets.{n})" for n in BET_COUNTS]
    )
    name, join = "bets.game_id", ""
    if "dim_games" not in data.missing:
        name = "max(games.game_name)"
        join = f" left join {schema}.dim_games as games on bets.game_id = games.game_id"
    rows = warehouse.rows(
        f"with periods as ({periods})"
        f" select periods.days, periods.is_previous, bets.game_id, {name}, {sums}"
        f" from {schema}.rpt_betting as bets inner join periods"
        f" on bets.bet_date >= periods.first_date and bets.bet_date <= periods.last_date{join}"
        f" group by 1, 2, 3 order by 1, 2, 3"
    )
    for days, is_previous, game, name, *values in rows:
        row = {"game_id": game, "game_name": name}
        row |= dict(zip((*BET_MONEY, *BET_COUNTS), values, strict=True))
        data.games.setdefault((days, bool(is_previous)), []).append(_whole(row, BET_COUNTS))


def _read_health(warehouse: Database, schema: str, data: Data, today: date) -> None:
    rows = warehouse.rows(
        f"select source_name, health_date, {', '.join(HEALTH_COUNTS)},"
        " min(health_date) over (partition by source_name) as first_date"
        f" from {schema}.rpt_data_health where health_date < date '{today}'"
        f" qualify health_date > max(health_date) over () - {HISTORY_DAYS} order by 1, 2"
    )
    for source, day, *values, first in rows:
        row = {"day": _day(day), **dict(zip(HEALTH_COUNTS, values, strict=True))}
        data.health.setdefault(source, []).append(_whole(row, HEALTH_COUNTS))
        data.first_health_days[source] = _day(first)


def _whole(row: dict[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    """Counts as `int`: Redshift sums them to a decimal number."""
    return row | {name: None if row[name] is None else int(row[name]) for name in columns}


def _day(value: Any) -> date:
    """The day of a date, or of the timestamp that an engine makes of a date and a number."""
    day: date = value.date() if isinstance(value, datetime) else value
    return day


def last_day(data: Data, application: str) -> date | None:
    """The as-of day of an application, from its KPIs or else from its mature cohorts."""
    rows: Mapping[str, Rows] = {}
    for mart in (data.kpis, data.retention, data.ltv):
        if application in mart:
            rows = mart
            break
    days = (row["day"] for row in rows.get(application, ()) if row.get("is_mature", True))
    return max(days, default=None)


def known_from(data: Data, application: str, last: date) -> date:
    """The first day of an application in the marts."""
    if application in data.first_days:
        return data.first_days[application]
    cohorts = [*data.retention.get(application, ()), *data.ltv.get(application, ())]
    return min((row["cohort_day"] for row in cohorts), default=last)
