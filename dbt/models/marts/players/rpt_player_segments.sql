{#
    The scores compare each player with all others, so all rows are calculated in each
    run. A run reads one row per player and the trailing days of the players. No column
    counts days until the as-of day, so the row of a player who stays away is written
    only when a segment or a score changes.
#}
with players as (
    select
        application_id,
        player_id,
        cohort_date,
        last_active_date
    from {{ ref('int_player_lifetimes') }}
),

as_of_days as (
    select
        application_id,
        max(activity_date) as as_of_date
    from {{ ref('int_application_days') }}
    group by 1
),

player_days as (
    select
        application_id,
        player_id,
        activity_date,
        is_active,
        is_payer,
        revenue
    from {{ ref('fct_player_days') }}
    where
        {{ filter_trailing_days(
            'activity_date', ref('int_application_days'), segment_days()
        ) }}
),

trailing_days as (
    select
        player_days.application_id,
        player_days.player_id,
        player_days.activity_date,
        player_days.is_active,
        player_days.is_payer,
        player_days.revenue,
        as_of_days.as_of_date - player_days.activity_date as days_ago
    from player_days
    inner join as_of_days
        on
            player_days.application_id = as_of_days.application_id
            and player_days.activity_date <= as_of_days.as_of_date
            and player_days.activity_date > as_of_days.as_of_date - {{ segment_days() }}
),

active_days as (
    select
        application_id,
        player_id,
        activity_date,
        days_ago,
        lag(activity_date) over (
            partition by application_id, player_id
            order by activity_date
        ) as previous_date
    from trailing_days
    where is_active
),

{#
    An active day without a previous one among these days is the player's first day or
    the end of a long absence.
#}
last_returns as (
    select
        application_id,
        player_id,
        max(activity_date) as return_date
    from active_days
    where
        days_ago < {{ lifecycle_days('reactivated') }}
        and coalesce(
            activity_date - previous_date > {{ lifecycle_days('lapsed') }}, true
        )
    group by 1, 2
),

trailing_sums as (
    select
        application_id,
        player_id,
        sum(case when days_ago < 30 then revenue else 0 end) as revenue_30,
        sum(case when days_ago < 90 then revenue else 0 end) as revenue_90,
        bool_or(is_payer and days_ago < 30) as is_payer_30,
        bool_or(is_payer and days_ago < 90) as is_payer_90,
        sum(case when is_active and days_ago < 90 then 1 else 0 end)
            as active_days_90
    from trailing_days
    group by 1, 2
),

sums_of_players as (
    select
        players.application_id,
        players.player_id,
        players.cohort_date,
        players.last_active_date,
        as_of_days.as_of_date - players.cohort_date as age_days,
        as_of_days.as_of_date - players.last_active_date as days_without_activity,
        coalesce(last_returns.return_date > players.cohort_date, false)
            as is_reactivated,
        coalesce(trailing_sums.is_payer_30, false) as is_payer_30,
        coalesce(trailing_sums.is_payer_90, false) as is_payer_90,
        coalesce(trailing_sums.active_days_90, 0) as active_days_90,
        cast(coalesce(trailing_sums.revenue_30, 0) as decimal(18, 4)) as revenue_30,
        cast(coalesce(trailing_sums.revenue_90, 0) as decimal(18, 4)) as revenue_90,
        case when coalesce(trailing_sums.active_days_90, 0) > 0 then 1 else 0 end
            as is_scored
    from players
    inner join as_of_days
        on players.application_id = as_of_days.application_id
    left join trailing_sums
        on
            players.application_id = trailing_sums.application_id
            and players.player_id = trailing_sums.player_id
    left join last_returns
        on
            players.application_id = last_returns.application_id
            and players.player_id = last_returns.player_id
),

ranked_players as (
    select
        *,
        count(*) over (partition by application_id, is_scored) as player_count,
        rank() over (
            partition by application_id, is_scored
            order by last_active_date desc
        ) - 1 as more_recent_count,
        rank() over (
            partition by application_id, is_scored
            order by active_days_90
        ) - 1 as less_frequent_count,
        rank() over (
            partition by application_id, is_scored
            order by revenue_90
        ) - 1 as less_paid_count
    from sums_of_players
),

final as (
    select
        application_id,
        player_id,
        cohort_date,
        last_active_date,
        cast(
            case
                when days_without_activity >= {{ lifecycle_days('lapsed') }}
                    then 'lapsed'
                when days_without_activity >= {{ lifecycle_days('at_risk') }}
                    then 'at_risk'
                when age_days < {{ lifecycle_days('new') }}
                    then 'new'
                when is_reactivated then 'reactivated'
                else 'active'
            end as varchar(1024)
        ) as lifecycle,
        cast({{ payer_tier('is_payer_30', 'revenue_30') }} as varchar(1024))
            as payer_tier_30,
        cast({{ payer_tier('is_payer_90', 'revenue_90') }} as varchar(1024))
            as payer_tier_90,
        revenue_30,
        revenue_90,
        cast(active_days_90 as bigint) as active_days_90,
        cast(
            case
                when is_scored = 1
                    then 6 - {{ quintile('more_recent_count', 'player_count') }}
            end as integer
        ) as recency_score,
        cast(
            case
                when is_scored = 1
                    then {{ quintile('less_frequent_count', 'player_count') }}
            end as integer
        ) as frequency_score,
        cast(
            case
                when is_scored = 1
                    then {{ quintile('less_paid_count', 'player_count') }}
            end as integer
        ) as monetary_score
    from ranked_players
)

select * from final
