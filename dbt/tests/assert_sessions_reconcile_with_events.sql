-- Every event with a known player belongs to exactly one session.
{#
    The test reads all days, not only those of the run. A session can have events of two
    days, so counts per day do not match, and an event that is lost on a day beside the
    run's days would be in none of the counts.
#}
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
