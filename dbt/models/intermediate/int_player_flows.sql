{#
    Each active day of a player is compared with the active days before and after it. A
    row counts on the day that it changes, so a day depends on itself and on the 30 days
    before it and on no later day. 30 days also contain the days of the month so far.
#}
{%- set days = changed_days() -%}
{%- set read_days = changed_days(before=30) -%}

with player_days as (
    select
        application_id,
        player_id,
        activity_date,
        is_active,
        is_payer
    from {{ ref('fct_player_days') }}
    where
        (is_active or is_payer)
        and {{ filter_days('activity_date', read_days) }}
),

players as (
    select
        application_id,
        player_id,
        first_seen_date
    from {{ ref('dim_players') }}
),

active_days as (
    select
        player_days.application_id,
        player_days.activity_date,
        players.first_seen_date,
        lag(player_days.activity_date) over (
            partition by player_days.application_id, player_days.player_id
            order by player_days.activity_date
        ) as previous_date,
        lead(player_days.activity_date) over (
            partition by player_days.application_id, player_days.player_id
            order by player_days.activity_date
        ) as next_date
    from player_days
    inner join players
        on
            player_days.application_id = players.application_id
            and player_days.player_id = players.player_id
    where player_days.is_active
),

payer_days as (
    select
        application_id,
        activity_date,
        lag(activity_date) over (
            partition by application_id, player_id
            order by activity_date
        ) as previous_date
    from player_days
    where is_payer
),

{# Without a previous day among the days that are read, the player was away for long. #}
arrivals as (
    select
        application_id,
        activity_date,
        activity_date = first_seen_date as is_new,
        activity_date > first_seen_date
        and coalesce(activity_date - previous_date > 28, true) as is_reactivated,
        coalesce(activity_date - previous_date between 2 and 28, false) as is_returned,
        coalesce(
            previous_date < cast(date_trunc('month', activity_date) as date), true
        ) as is_first_of_month
    from active_days
),

counts as (
    select
        application_id,
        activity_date,
        1 as dau,
        case when is_new then 1 else 0 end as new_players,
        case when is_returned then 1 else 0 end as returned_players,
        case when is_reactivated then 1 else 0 end as reactivated_players,
        0 as not_seen_players,
        0 as churned_players,
        case when is_first_of_month then 1 else 0 end as players_first_in_month,
        0 as payers_first_in_month
    from arrivals
    union all
    select
        application_id,
        activity_date + 1 as activity_date,
        0 as dau,
        0 as new_players,
        0 as returned_players,
        0 as reactivated_players,
        1 as not_seen_players,
        0 as churned_players,
        0 as players_first_in_month,
        0 as payers_first_in_month
    from active_days
    where coalesce(next_date - activity_date > 1, true)
    union all
    select
        application_id,
        activity_date + 28 as activity_date,
        0 as dau,
        0 as new_players,
        0 as returned_players,
        0 as reactivated_players,
        0 as not_seen_players,
        1 as churned_players,
        0 as players_first_in_month,
        0 as payers_first_in_month
    from active_days
    where coalesce(next_date - activity_date > 28, true)
    union all
    select
        application_id,
        activity_date,
        0 as dau,
        0 as new_players,
        0 as returned_players,
        0 as reactivated_players,
        0 as not_seen_players,
        0 as churned_players,
        0 as players_first_in_month,
        1 as payers_first_in_month
    from payer_days
    where
        coalesce(
            previous_date < cast(date_trunc('month', activity_date) as date), true
        )
),

final as (
    select
        application_id,
        activity_date,
        cast(sum(dau) as bigint) as dau,
        cast(sum(new_players) as bigint) as new_players,
        cast(sum(returned_players) as bigint) as returned_players,
        cast(sum(reactivated_players) as bigint) as reactivated_players,
        cast(sum(not_seen_players) as bigint) as not_seen_players,
        cast(sum(churned_players) as bigint) as churned_players,
        cast(sum(players_first_in_month) as bigint) as players_first_in_month,
        cast(sum(payers_first_in_month) as bigint) as payers_first_in_month
    from counts
    where {{ filter_days('activity_date', days) }}
    group by 1, 2
)

select * from final
