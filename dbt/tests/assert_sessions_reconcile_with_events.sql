-- Every event with a known player belongs to exactly one session.
{# Of all days: a session has two, and what is lost beside a run's days is in no day's counts. #}
with events as (
    select
        application_id,
        count(*) as event_count
    from {{ ref('int_events') }}
    where player_id is not null
    group by 1
),

sessions as (
    select
        application_id,
        sum(event_count) as event_count
    from {{ ref('fct_sessions') }}
    group by 1
)

select
    events.application_id,
    events.event_count as events_with_player,
    sessions.event_count as events_of_sessions
from events
left join sessions
    on events.application_id = sessions.application_id
where events.event_count <> coalesce(sessions.event_count, 0)
