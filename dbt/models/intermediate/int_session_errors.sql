{#
    A session has events of two days at most, so the errors of the sessions of a day are
    on that day and on the next one.
#}
with sessions as (
    select
        application_id,
        player_id,
        session_id,
        session_date,
        started_at,
        ended_at,
        is_explicit
    from {{ ref('fct_sessions') }}
    where {{ filter_replaced_days() }}
),

events as (
    select
        application_id,
        player_id,
        session_id,
        event_id,
        event_date,
        event_at,
        app_version
    from {{ ref('int_events') }}
    where
        player_id is not null
        and {{ filter_replaced_days('event_date') }}
),

errors as (
    select
        application_id,
        player_id,
        session_id,
        event_at,
        is_fatal
    from {{ ref('int_gameplay_events') }}
    where
        event_type = 'client_error'
        and player_id is not null
        and {{ filter_run_days('event_date', before=2, after=4) }}
),

{# Few events of a player have the time of a start, so the join is small. #}
first_events as (
    select
        sessions.application_id,
        sessions.player_id,
        sessions.session_id,
        sessions.session_date,
        events.app_version,
        row_number() over (
            partition by
                sessions.application_id,
                sessions.player_id,
                sessions.session_id,
                sessions.session_date
            order by events.event_id
        ) as event_number
    from sessions
    inner join events
        on
            sessions.session_date = events.event_date
            and sessions.started_at = events.event_at
            and {{ is_event_of_session('events', 'sessions') }}
),

error_counts as (
    select
        sessions.application_id,
        sessions.player_id,
        sessions.session_id,
        sessions.session_date,
        count(*) as error_count,
        sum(case when errors.is_fatal then 1 else 0 end) as fatal_error_count
    from sessions
    inner join errors
        on {{ is_event_of_session('errors', 'sessions') }}
    group by 1, 2, 3, 4
),

final as (
    select
        sessions.application_id,
        sessions.player_id,
        sessions.session_id,
        sessions.session_date,
        coalesce(first_events.app_version, 'Unknown') as app_version,
        cast(coalesce(error_counts.error_count, 0) as bigint) as error_count,
        cast(coalesce(error_counts.fatal_error_count, 0) as bigint)
            as fatal_error_count
    from sessions
    left join first_events
        on
            sessions.application_id = first_events.application_id
            and sessions.player_id = first_events.player_id
            and sessions.session_id = first_events.session_id
            and sessions.session_date = first_events.session_date
            and first_events.event_number = 1
    left join error_counts
        on
            sessions.application_id = error_counts.application_id
            and sessions.player_id = error_counts.player_id
            and sessions.session_id = error_counts.session_id
            and sessions.session_date = error_counts.session_date
)

select * from final
