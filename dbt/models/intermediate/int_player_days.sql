with events as (
    select
        application_id,
        player_id,
        event_date,
        event_id,
        event_timestamp,
        counts_as_activity,
        app_version,
        platform,
        country_id,
        acquisition_channel,
        campaign_id
    from {{ ref('int_events') }}
    where
        player_id is not null
        and {{ filter_replaced_days('event_date') }}
),

sessions as (
    select
        application_id,
        player_id,
        session_date,
        duration_seconds
    from {{ ref('fct_sessions') }}
    where {{ filter_replaced_days('session_date') }}
),

ranked_events as (
    select
        *,
        lpad(
            cast(row_number() over (
                partition by application_id, player_id, event_date
                order by event_timestamp, event_id
            ) as varchar(12)),
            12,
            '0'
        ) as event_rank
    from events
),

event_days as (
    select
        application_id,
        player_id,
        event_date as activity_date,
        count(*) as event_count,
        bool_or(counts_as_activity) as is_active,
        {{ first_known('app_version', 'event_rank', 12) }} as app_version,
        {{ first_known('platform', 'event_rank', 12) }} as platform,
        {{ first_known('country_id', 'event_rank', 12) }} as country_id,
        {{ first_known('acquisition_channel', 'event_rank', 12) }}
            as acquisition_channel,
        {{ first_known('campaign_id', 'event_rank', 12) }} as campaign_id
    from ranked_events
    group by 1, 2, 3
),

session_days as (
    select
        application_id,
        player_id,
        session_date as activity_date,
        count(*) as session_count,
        cast(sum(duration_seconds) as bigint) as playtime_seconds
    from sessions
    group by 1, 2, 3
),

final as (
    select
        event_days.application_id,
        event_days.player_id,
        event_days.activity_date,
        event_days.event_count,
        event_days.is_active,
        coalesce(session_days.session_count, 0) as session_count,
        coalesce(session_days.playtime_seconds, 0) as playtime_seconds,
        event_days.app_version,
        event_days.platform,
        event_days.country_id,
        event_days.acquisition_channel,
        event_days.campaign_id
    from event_days
    left join session_days
        on
            event_days.application_id = session_days.application_id
            and event_days.player_id = session_days.player_id
            and event_days.activity_date = session_days.activity_date
)

select * from final
