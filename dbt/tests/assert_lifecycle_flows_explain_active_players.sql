-- The flows of a day lead from the active players of the day before to those of it.
-- MAU counts 30 days, so it is not below the players who were active in 28 days.
with days as (
    select
        application_id,
        kpi_date,
        dau,
        dau_of_day_before,
        new_players,
        retained_players,
        returned_players,
        reactivated_players,
        not_seen_players,
        churned_players,
        active_players_28,
        coalesce(
            lag(dau) over (partition by application_id order by kpi_date), 0
        ) as dau_before,
        coalesce(
            lag(active_players_28) over (
                partition by application_id order by kpi_date
            ),
            0
        ) as active_players_28_before
    from {{ ref('rpt_player_lifecycle') }}
),

kpis as (
    select
        application_id,
        kpi_date,
        dau,
        mau,
        new_players
    from {{ ref('rpt_daily_kpis') }}
)

select
    kpis.application_id,
    kpis.kpi_date,
    kpis.dau as dau_of_kpis,
    days.dau,
    days.dau_before,
    days.active_players_28,
    days.active_players_28_before
from kpis
left join days
    on
        kpis.application_id = days.application_id
        and kpis.kpi_date = days.kpi_date
where
    days.kpi_date is null
    or days.dau <> kpis.dau
    or days.dau_of_day_before <> days.dau_before
    or days.new_players <> kpis.new_players
    or days.active_players_28 > kpis.mau
    or days.active_players_28 < days.dau
    or days.dau <> days.new_players + days.retained_players + days.reactivated_players
    or days.dau
    <> days.dau_before
    + days.new_players
    + days.returned_players
    + days.reactivated_players
    - days.not_seen_players
    or days.active_players_28
    <> days.active_players_28_before
    + days.new_players
    + days.reactivated_players
    - days.churned_players
