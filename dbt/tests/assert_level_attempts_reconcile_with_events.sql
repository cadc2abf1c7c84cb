-- Every start, completion and failure of a level counts once in rpt_level_difficulty,
-- and no more players are cleared at the first try than are cleared at all.
with events as (
    select
        application_id,
        count(*) as event_count
    from {{ ref('int_gameplay_events') }}
    where event_type in ('level_started', 'level_completed', 'level_failed')
    group by 1
),

levels as (
    select
        application_id,
        sum(attempts + completions + failures) as event_count,
        sum(
            case
                when
                    first_try_players > players_cleared
                    or players_cleared > players
                    or drop_off_players > players_started
                    then 1
                else 0
            end
        ) as impossible_level_count
    from {{ ref('rpt_level_difficulty') }}
    group by 1
)

select
    coalesce(events.application_id, levels.application_id) as application_id,
    events.event_count,
    levels.event_count as events_of_levels,
    levels.impossible_level_count
from events
full join levels
    on events.application_id = levels.application_id
where
    coalesce(events.event_count, 0) <> coalesce(levels.event_count, 0)
    or levels.impossible_level_count > 0
