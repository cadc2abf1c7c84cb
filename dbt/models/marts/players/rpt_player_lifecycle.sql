with application_days as (
    select
        application_id,
        activity_date
    from {{ ref('int_application_days') }}
),

flows as (
    select
        application_id,
        activity_date,
        dau,
        new_players,
        returned_players,
        reactivated_players,
        not_seen_players,
        churned_players
    from {{ ref('int_player_flows') }}
),

daily_flows as (
    select
        application_days.application_id,
        application_days.activity_date as kpi_date,
        coalesce(flows.dau, 0) as dau,
        coalesce(flows.new_players, 0) as new_players,
        coalesce(flows.returned_players, 0) as returned_players,
        coalesce(flows.reactivated_players, 0) as reactivated_players,
        coalesce(flows.not_seen_players, 0) as not_seen_players,
        coalesce(flows.churned_players, 0) as churned_players
    from application_days
    left join flows
        on
            application_days.application_id = flows.application_id
            and application_days.activity_date = flows.activity_date
),

running_flows as (
    select
        *,
        lag(dau) over (partition by application_id order by kpi_date) as previous_dau,
        sum(new_players + reactivated_players - churned_players) over (
            partition by application_id
            order by kpi_date
            rows between unbounded preceding and current row
        ) as active_players_28
    from daily_flows
),

final as (
    select
        application_id,
        kpi_date,
        cast(dau as bigint) as dau,
        cast(coalesce(previous_dau, 0) as bigint) as dau_of_day_before,
        cast(new_players as bigint) as new_players,
        cast(dau - new_players - reactivated_players as bigint) as retained_players,
        cast(returned_players as bigint) as returned_players,
        cast(reactivated_players as bigint) as reactivated_players,
        cast(not_seen_players as bigint) as not_seen_players,
        cast(churned_players as bigint) as churned_players,
        cast(active_players_28 as bigint) as active_players_28
    from running_flows
)

select * from final
