{#
    An event whose player only an event of the next day shows is left out, and a session
    that goes on after midnight has its playtime until then. So no event of a later day
    changes a row, and a feature that is made of these rows does not see its future.
#}
with events as (
    select
        application_id,
        player_id,
        session_id,
        event_id,
        event_date,
        event_timestamp,
        counts_as_activity
    from {{ ref('int_events') }}
    where
        player_id is not null
        and not coalesce(is_player_of_next_day, false)
        and {{ filter_replaced_days('event_date') }}
),

explicit_sessions as (
    select
        application_id,
        player_id,
        event_date as activity_date,
        session_id,
        bool_or(counts_as_activity) as is_active,
        1 as session_count,
        max(event_timestamp) - min(event_timestamp) as playtime_seconds
    from events
    where session_id is not null
    group by 1, 2, 3, 4
),

events_with_gaps as (
    select
        application_id,
        player_id,
        event_date as activity_date,
        counts_as_activity,
        event_timestamp - lag(event_timestamp) over (
            partition by application_id, player_id, event_date
            order by event_timestamp, event_id
        ) as gap_seconds
    from events
    where session_id is null
),

{# The gaps inside a gap session add up to its playtime. #}
activity as (
    select
        application_id,
        player_id,
        activity_date,
        is_active,
        session_count,
        playtime_seconds
    from explicit_sessions
    union all
    select
        application_id,
        player_id,
        activity_date,
        counts_as_activity as is_active,
        case when gap_seconds <= 1800 then 0 else 1 end as session_count,
        case when gap_seconds <= 1800 then gap_seconds else 0 end as playtime_seconds
    from events_with_gaps
),

final as (
    select
        application_id,
        player_id,
        activity_date,
        bool_or(is_active) as is_active,
        cast(sum(session_count) as bigint) as session_count,
        cast(sum(playtime_seconds) as bigint) as playtime_seconds
    from activity
    group by 1, 2, 3
)

select * from final
