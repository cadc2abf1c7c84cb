{#
    WAU and MAU need no distinct count over a window. Each active day of a player counts
    from that day until the day before the player's next active day, or until the window
    ends. So a player never counts twice on a day, and what changes on a day depends on
    the 30 days before it.
#}
{%- set days = changed_days() -%}
{%- set read_days = changed_days(before=30) -%}

with player_days as (
    select
        application_id,
        player_id,
        activity_date,
        is_active,
        session_count,
        playtime_seconds,
        is_payer,
        is_first_time_payer,
        iap_revenue,
        ad_revenue,
        refunds,
        revenue
    from {{ ref('fct_player_days') }}
    where {{ filter_days('activity_date', read_days) }}
),

day_attributes as (
    select
        application_id,
        player_id,
        activity_date,
        platform,
        country_id,
        app_version
    from {{ ref('int_player_days') }}
    where {{ filter_days('activity_date', read_days) }}
),

players as (
    select
        application_id,
        player_id,
        first_seen_date,
        first_platform,
        first_country_id,
        first_app_version,
        acquisition_channel
    from {{ ref('dim_players') }}
),

player_days_with_attributes as (
    select
        player_days.*,
        players.first_seen_date,
        coalesce(day_attributes.platform, players.first_platform, 'Unknown')
            as platform,
        coalesce(day_attributes.country_id, players.first_country_id, 'Unknown')
            as country,
        coalesce(day_attributes.app_version, players.first_app_version, 'Unknown')
            as app_version,
        coalesce(players.acquisition_channel, 'Unknown') as acquisition_channel
    from player_days
    left join players
        on
            player_days.application_id = players.application_id
            and player_days.player_id = players.player_id
    left join day_attributes
        on
            player_days.application_id = day_attributes.application_id
            and player_days.player_id = day_attributes.player_id
            and player_days.activity_date = day_attributes.activity_date
),

player_days_by_segment as (
    select
        *,
        'all' as segment_name,
        'all' as segment_value
    from player_days_with_attributes
    {% for segment in ['platform', 'country', 'app_version', 'acquisition_channel'] -%}
        union all
        select
            *,
            '{{ segment }}' as segment_name,
            {{ segment }} as segment_value
        from player_days_with_attributes
    {% endfor %}
),

segment_day_sums as (
    select
        application_id,
        segment_name,
        segment_value,
        activity_date,
        count(*) as player_count,
        sum(case when is_active then 1 else 0 end) as dau,
        sum(case when is_active and activity_date = first_seen_date then 1 else 0 end)
            as new_players,
        sum(session_count) as session_count,
        sum(playtime_seconds) as playtime_seconds,
        sum(iap_revenue) as iap_revenue,
        sum(ad_revenue) as ad_revenue,
        sum(refunds) as refunds,
        sum(revenue) as revenue,
        sum(case when is_payer then 1 else 0 end) as payers,
        sum(case when is_first_time_payer then 1 else 0 end) as first_time_payers
    from player_days_by_segment
    group by 1, 2, 3, 4
),

active_days as (
    select
        application_id,
        segment_name,
        segment_value,
        activity_date,
        lead(activity_date) over (
            partition by application_id, segment_name, segment_value, player_id
            order by activity_date
        ) as next_date
    from player_days_by_segment
    where is_active
),

trailing_changes as (
    select
        application_id,
        segment_name,
        segment_value,
        activity_date,
        1 as wau_change,
        1 as mau_change
    from active_days
    union all
    select
        application_id,
        segment_name,
        segment_value,
        least(activity_date + 7, coalesce(next_date, activity_date + 7))
            as activity_date,
        -1 as wau_change,
        0 as mau_change
    from active_days
    union all
    select
        application_id,
        segment_name,
        segment_value,
        least(activity_date + 30, coalesce(next_date, activity_date + 30))
            as activity_date,
        0 as wau_change,
        -1 as mau_change
    from active_days
),

segment_day_changes as (
    select
        application_id,
        segment_name,
        segment_value,
        activity_date,
        sum(wau_change) as wau_change,
        sum(mau_change) as mau_change
    from trailing_changes
    group by 1, 2, 3, 4
),

all_days as (
    select
        application_id,
        segment_name,
        segment_value,
        activity_date
    from segment_day_sums
    union
    select
        application_id,
        segment_name,
        segment_value,
        activity_date
    from segment_day_changes
),

final as (
    select
        all_days.application_id,
        all_days.segment_name,
        all_days.segment_value,
        all_days.activity_date,
        cast(coalesce(segment_day_sums.player_count, 0) as bigint) as player_count,
        cast(coalesce(segment_day_sums.dau, 0) as bigint) as dau,
        cast(coalesce(segment_day_sums.new_players, 0) as bigint) as new_players,
        cast(coalesce(segment_day_sums.session_count, 0) as bigint) as session_count,
        cast(coalesce(segment_day_sums.playtime_seconds, 0) as bigint)
            as playtime_seconds,
        cast(coalesce(segment_day_sums.iap_revenue, 0) as decimal(18, 4))
            as iap_revenue,
        cast(coalesce(segment_day_sums.ad_revenue, 0) as decimal(18, 4)) as ad_revenue,
        cast(coalesce(segment_day_sums.refunds, 0) as decimal(18, 4)) as refunds,
        cast(coalesce(segment_day_sums.revenue, 0) as decimal(18, 4)) as revenue,
        cast(coalesce(segment_day_sums.payers, 0) as bigint) as payers,
        cast(coalesce(segment_day_sums.first_time_payers, 0) as bigint)
            as first_time_payers,
        cast(coalesce(segment_day_changes.wau_change, 0) as bigint) as wau_change,
        cast(coalesce(segment_day_changes.mau_change, 0) as bigint) as mau_change
    from all_days
    left join segment_day_sums
        on
            all_days.application_id = segment_day_sums.application_id
            and all_days.segment_name = segment_day_sums.segment_name
            and all_days.segment_value = segment_day_sums.segment_value
            and all_days.activity_date = segment_day_sums.activity_date
    left join segment_day_changes
        on
            all_days.application_id = segment_day_changes.application_id
            and all_days.segment_name = segment_day_changes.segment_name
            and all_days.segment_value = segment_day_changes.segment_value
            and all_days.activity_date = segment_day_changes.activity_date
)

select * from final
where {{ filter_days('activity_date', days) }}
