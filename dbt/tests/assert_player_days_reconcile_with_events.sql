-- Every event with a known player counts in exactly one row of fct_player_days.
{% set days = tested_days('model.game_analytics.int_player_days') %}
with events as (
    select
        application_id,
        event_date,
        count(*) as event_count
    from {{ ref('int_events') }}
    where player_id is not null and {{ filter_days('event_date', days) }}
    group by 1, 2
),

player_days as (
    select
        application_id,
        activity_date,
        sum(event_count) as event_count
    from {{ ref('fct_player_days') }}
    where {{ filter_days('activity_date', days) }}
    group by 1, 2
),

final as (
    select
        coalesce(events.application_id, player_days.application_id) as application_id,
        coalesce(events.event_date, player_days.activity_date) as event_date,
        coalesce(events.event_count, 0) as events_with_player,
        coalesce(player_days.event_count, 0) as events_of_player_days
    from events
    full outer join player_days
        on
            events.application_id = player_days.application_id
            and events.event_date = player_days.activity_date
)

select *
from final
where events_with_player <> events_of_player_days
