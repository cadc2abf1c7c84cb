-- The flows of a day lead from the active players of the day before to those of it.
-- The sum of all flows up to the as-of day is the number of players with an active
-- day among its last 28 days.
with days as (
    select
        application_id,
        kpi_date,
        dau,
        new_players,
        returned_players,
        reactivated_players,
        not_seen_players,
        active_players_28,
        coalesce(
            lag(dau) over (partition by application_id order by kpi_date), 0
        ) as dau_before
    from {{ ref('rpt_player_lifecycle') }}
),

kpis as (
    select
        application_id,
        kpi_date,
        dau,
        new_players
    from {{ ref('rpt_daily_kpis') }}
),

as_of_days as (
    select
        application_id,
        max(kpi_date) as as_of_date
    from kpis
    group by 1
),

lifetimes as (
    select
        as_of_days.application_id,
        as_of_days.as_of_date,
        sum(
            case
                when lifetimes.last_active_date > as_of_days.as_of_date - 28 then 1
                else 0
            end
        ) as active_players_28
    from as_of_days
    inner join {{ ref('int_player_lifetimes') }} as lifetimes
        on as_of_days.application_id = lifetimes.application_id
    group by 1, 2
)

select
    kpis.application_id,
    kpis.kpi_date,
    kpis.dau as dau_of_kpis,
    days.dau,
    days.dau_before,
    days.active_players_28,
    lifetimes.active_players_28 as active_players_28_of_lifetimes
from kpis
left join days
    on
        kpis.application_id = days.application_id
        and kpis.kpi_date = days.kpi_date
left join lifetimes
    on
        kpis.application_id = lifetimes.application_id
        and kpis.kpi_date = lifetimes.as_of_date
where
    days.kpi_date is null
    or days.dau <> kpis.dau
    or days.new_players <> kpis.new_players
    or lifetimes.active_players_28 <> days.active_players_28
    or days.dau
    <> days.dau_before
    + days.new_players
    + days.returned_players
    + days.reactivated_players
    - days.not_seen_players
