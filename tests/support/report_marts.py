"""Marts for the tests of the KPI report: many applications, odd names, refunds, gaps and nulls.

The numbers are made of hashes, so that each day and cohort has others, and the same ones each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import duckdb

HOSTILE_NAMES = (
    "<script>document.title='ran'; window.ran = true</script>",
    '"><img src=x onerror="window.ran = true">',
    "'; drop table marts.rpt_daily_kpis; --",
    "</style></title><svg onload=window.ran=true>",
    "{{ 7 * 7 }} {% raw %} ${7*7} &lt;b&gt;",
    "javascript:window.ran=true//",
    "long-" + "x" * 900,
    "\u202eevil \u0000\ufffd \U0001f3ae 日本語 ".replace("\u0000", ""),
    "  two\tlines\nof text  ",
)
"""Names that a game or a ledger can send."""


def make(
    path: Path,
    applications: Mapping[str, int],
    last: date,
    *,
    games: Sequence[str] = (),
    huge: bool = False,
    has_unknown_money: bool = False,
) -> Path:
    """Write a warehouse with the marts that the report reads, and return its path.

    `applications` gives the number of days of each; they end with `last`. With `huge` money is
    close to the largest amount that the marts hold. With `has_unknown_money` one bet, 40 days
    before the last day, has no exchange rate.
    """
    with duckdb.connect(str(path)) as warehouse:
        warehouse.execute("create schema marts")
        warehouse.execute("create table applications (application_id varchar, days integer)")
        for application, days in applications.items():
            warehouse.execute("insert into applications values (?, ?)", [application, days])
        warehouse.execute("create table games (number integer, game_id varchar)")
        for number, game in enumerate(games):
            warehouse.execute("insert into games values (?, ?)", [number, game])
        factor = 10**9 if huge else 1
        for statement in STATEMENTS:
            warehouse.execute(
                statement.replace("$last", f"date '{last}'")
                .replace("$unknown", "3" if has_unknown_money else "-1")
                .replace("$factor", f"cast({factor} as decimal(38, 0))")
            )
        warehouse.execute("drop table applications")
        warehouse.execute("drop table games")
    return path


STATEMENTS = (
    """
    create table marts.rpt_daily_kpis as
    with days as (
        select application_id, $last - cast(age as integer) as kpi_date,
            cast(hash(application_id, age) % 1000 as integer) as h
        from applications, range(200) as ages (age)
        where age < days
    ),
    counts as (
        select *,
            cast(case when h % 17 = 0 then 0 else 40 + h % 60 end as bigint) as dau,
            cast(140 + h % 30 as bigint) as wau,
            cast(case when h % 17 = 0 then 0 else 300 + h % 40 end as bigint) as mau,
            cast(case when h % 17 = 0 then 0 else h % 9 end as bigint) as new_players,
            cast(2 * (h % 60) as bigint) as session_count,
            cast(case when h % 17 = 0 then 0 else h % 5 end as bigint) as payers,
            cast(cast(h * 0.3717 as decimal(38, 4)) * $factor as decimal(18, 4)) as iap_revenue,
            cast(h * 0.0113 as decimal(18, 4)) as ad_revenue,
            cast(case when h % 6 = 0 then h * 1.7 else 0 end as decimal(18, 4)) as refunds
        from days
    )
    select application_id, kpi_date, dau, wau, mau,
        dau / nullif(cast(mau as double), 0) as stickiness,
        new_players, dau - new_players as returning_players, session_count,
        cast(session_count as double) / nullif(dau, 0) as sessions_per_dau,
        session_count * 60 as playtime_seconds, iap_revenue, ad_revenue, refunds,
        cast(iap_revenue + ad_revenue - refunds as decimal(18, 4)) as revenue,
        payers, cast(payers // 2 as bigint) as first_time_payers,
        cast(payers as double) / nullif(dau, 0) as payer_conversion,
        cast(null as decimal(18, 4)) as arpdau, cast(null as decimal(18, 4)) as arppu
    from counts
    """,
    """
    create table marts.fct_player_days as
    select application_id, 'p' || (hash(kpi_date, number) % 40) as player_id,
        kpi_date as activity_date, bool_or(number < payers) as is_payer
    from marts.rpt_daily_kpis, range(8) as numbers (number)
    group by all
    """,
    """
    create table marts.rpt_retention as
    with cohorts as (
        select application_id, $last - cast(age as integer) as cohort_date,
            cast(day_n as integer) as day_n, age >= day_n as is_mature,
            cast(1 + hash(application_id, age) % 30 as bigint) as cohort_size
        from applications, range(200) as ages (age),
            (values (1), (3), (7), (14), (30), (60), (90)) as numbers (day_n)
        where age < days and hash(application_id, age, 'gap') % 11 > 0
    ),
    counts as (
        select *,
            cast(case when is_mature then cohort_size // (1 + day_n // 3) else 0 end as bigint)
                as classic_players
        from cohorts
    )
    select *,
        case when is_mature then cast(classic_players as double) / cohort_size end as classic_rate,
        cast((classic_players + cohort_size) // 2 as bigint) as rolling_players,
        cast((classic_players + 2 * cohort_size) // 3 as bigint) as return_players,
        cast(classic_players // 4 as bigint) as full_players
    from counts
    """,
    """
    create table marts.rpt_retention_overall as
    select application_id, day_n,
        cast(sum(case when is_mature then cohort_size else 0 end) as bigint) as cohort_size,
        cast(sum(case when is_mature then classic_players else 0 end) as bigint)
            as classic_players,
        cast(sum(case when is_mature then rolling_players else 0 end) as bigint)
            as rolling_players,
        cast(sum(case when is_mature then return_players else 0 end) as bigint) as return_players,
        cast(sum(case when is_mature then full_players else 0 end) as bigint) as full_players
    from marts.rpt_retention
    group by 1, 2
    """,
    """
    create table marts.rpt_ltv as
    select application_id, $last - cast(age as integer) as cohort_date, acquisition_channel,
        cast(age_days as integer) as age_days,
        cast(1 + hash(application_id, age, acquisition_channel) % 20 as bigint) as cohort_size,
        cast(
            cast(
                (cast(hash(age, acquisition_channel) % 900 as integer) - 90) * (age_days + 1)
                * 0.0137 as decimal(38, 4)
            ) * $factor as decimal(18, 4)
        ) as cumulative_revenue,
        cast(case when acquisition_channel = 'ads' then 3.5 + age % 4 end as decimal(18, 4))
            as spend,
        age >= age_days as is_mature
    from applications, range(200) as ages (age), (values ('ads'), ('Unknown'))
        as channels (acquisition_channel),
        (values (0), (1), (3), (7), (14), (30), (60), (90), (180)) as numbers (age_days)
    where age < days
    """,
    """
    create table marts.rpt_ltv_overall as
    select application_id, age_days,
        cast(sum(case when is_mature then cohort_size else 0 end) as bigint) as cohort_size,
        cast(sum(case when is_mature then cumulative_revenue else 0 end) as decimal(18, 4))
            as cumulative_revenue,
        cast(sum(case when is_mature then spend end) as decimal(18, 4)) as spend
    from marts.rpt_ltv
    group by 1, 2
    """,
    """
    create table marts.dim_games as
    select game_id, case when number = 0 then 'Unknown' else game_id || ' (name)' end as game_name
    from games
    """,
    """
    create table marts.rpt_betting as
    with days as (
        select $last - cast(age as integer) as bet_date, game_id, number, age,
            cast(hash(game_id, age) % 500 as integer) as h
        from games, range(200) as ages (age)
        where hash(game_id, age) % 4 > 0 or (number = $unknown and age = 40)
    ),
    sums as (
        select bet_date, game_id, cast(h % 50 as bigint) as bet_count,
            cast(h % 9 as bigint) as players,
            cast(
                case when number = $unknown and age = 40 then null
                else cast((h + 1) * 1.0357 as decimal(38, 4)) * $factor end
                as decimal(18, 4)
            ) as turnover,
            cast(
                case when number = $unknown and age = 40 then null
                else cast(((h * 7) % 620) * 0.9411 as decimal(38, 4)) * $factor end
                as decimal(18, 4)
            ) as winnings,
            cast(h % 3 as bigint) as unsettled_wager_count
        from days
    )
    select *, cast(turnover - winnings as decimal(18, 4)) as ggr,
        cast(turnover - winnings - 1.5 as decimal(18, 4)) as ngr,
        cast(null as double) as rtp, cast(null as double) as hold,
        cast(0 as bigint) as wins_without_wager_count
    from sums
    """,
    """
    create table marts.rpt_data_health as
    select source_name, $last - cast(age as integer) as health_date,
        cast(1000 + h as bigint) as landed_count, cast(h % 5 as bigint) as rejected_count,
        cast(h % 9 as bigint) as schema_mismatch_count, cast(h % 13 as bigint) as duplicate_count,
        cast(h % 21 as bigint) as late_1_day_count, cast(h % 4 as bigint) as late_2_to_7_days_count,
        cast(h % 2 as bigint) as late_over_7_days_count,
        cast(h % 3 as bigint) as repeated_across_days_count,
        cast(h % 6 as bigint) as unknown_type_count, cast(h % 7 as bigint) as null_player_count,
        cast(0 as bigint) as shared_transaction_count,
        cast(h % 2 as bigint) as unknown_refund_count,
        cast(h % 2 as bigint) as excess_refund_count,
        cast(null as bigint) as landed_count_a_week_before,
        cast(null as double) as volume_against_a_week_before
    from (
        select source_name, age, cast(hash(source_name, age) % 400 as integer) as h
        from (values ('raw_events'), ('game_transactions')) as sources (source_name),
            range(-1, 200) as ages (age)
        where hash(source_name, age) % 10 > 0
    ) as days
    """,
)
"""One statement per mart. The columns that the report reads have the types of the contracts."""
