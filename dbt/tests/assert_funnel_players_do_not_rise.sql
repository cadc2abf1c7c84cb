-- A player who reaches a step has reached the step before, so no step has more players
-- than the step before it, and none has more than the first step.
select
    application_id,
    funnel_name,
    step,
    players,
    players_of_previous_step,
    players_of_first_step
from {{ ref('rpt_progression_funnel') }}
where
    players > players_of_previous_step
    or players > players_of_first_step
    or median_seconds_from_previous < 0
