{#
    Only those events are kept that can be the first ones after the time of a previous
    step: the first event of a step on a day, and each event with an event of the
    previous step between it and the event of its own step before. All others are later
    than an event that is kept and that serves the same players.
#}
with events as (
    select
        application_id,
        player_id,
        event_date,
        event_timestamp,
        event_type,
        tutorial_screen_id,
        level_id,
        level_version,
        match_type,
        map_id,
        item_id
    from {{ ref('int_events') }}
    where
        player_id is not null
        and (event_type <> 'iap_transaction' or amount > 0)
        and {{ filter_replaced_days() }}
),

funnel_steps as (
    select
        funnel_name,
        step,
        event_type,
        detail_column,
        detail_value
    from {{ ref('funnel_steps') }}
),

step_events as (
    select distinct
        events.application_id,
        events.player_id,
        funnel_steps.funnel_name,
        funnel_steps.step,
        events.event_date,
        events.event_timestamp
    from events
    inner join funnel_steps
        on
            events.event_type = funnel_steps.event_type
            and (
                funnel_steps.detail_column is null
                or funnel_steps.detail_value = case funnel_steps.detail_column
                    when 'tutorial_screen_id' then events.tutorial_screen_id
                    when 'level_id' then events.level_id
                    when 'level_version' then events.level_version
                    when 'match_type' then events.match_type
                    when 'map_id' then events.map_id
                    when 'item_id' then events.item_id
                end
            )
),

{# Two steps may be reached in one second, so an event of the previous step is first. #}
step_times as (
    select
        application_id,
        player_id,
        funnel_name,
        step,
        event_date,
        event_timestamp,
        1 as is_own_step
    from step_events
    union all
    select
        application_id,
        player_id,
        funnel_name,
        step + 1 as step,
        event_date,
        event_timestamp,
        0 as is_own_step
    from step_events
),

step_times_in_order as (
    select
        *,
        lag(is_own_step) over (
            partition by application_id, player_id, funnel_name, step, event_date
            order by event_timestamp, is_own_step
        ) as is_own_step_before
    from step_times
),

final as (
    select
        application_id,
        player_id,
        funnel_name,
        cast(step as integer) as step,
        event_date,
        event_timestamp
    from step_times_in_order
    where
        is_own_step = 1
        and coalesce(is_own_step_before, 0) = 0
)

select * from final
