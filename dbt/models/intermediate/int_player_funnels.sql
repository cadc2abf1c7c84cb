{# A test of the seed refuses a step above this number. #}
{%- set last_step = 12 -%}

with funnel_events as (
    select
        application_id,
        player_id,
        funnel_name,
        step,
        event_timestamp
    from {{ ref('int_funnel_events') }}
    where {{ filter_changed_keys() }}
),

step_1 as (
    select
        application_id,
        player_id,
        funnel_name,
        min(event_timestamp) as reached_timestamp
    from funnel_events
    where step = 1
    group by 1, 2, 3
),

{% for step in range(2, last_step + 1) -%}
    step_{{ step }} as (
        select
            funnel_events.application_id,
            funnel_events.player_id,
            funnel_events.funnel_name,
            min(funnel_events.event_timestamp) as reached_timestamp
        from funnel_events
        inner join step_{{ step - 1 }} as previous_step
            on
                funnel_events.application_id = previous_step.application_id
                and funnel_events.player_id = previous_step.player_id
                and funnel_events.funnel_name = previous_step.funnel_name
                and funnel_events.event_timestamp >= previous_step.reached_timestamp
        where funnel_events.step = {{ step }}
        group by 1, 2, 3
    ),

{% endfor -%}
reached_steps as (
    {% for step in range(1, last_step + 1) -%}
        select
            application_id,
            player_id,
            funnel_name,
            {{ step }} as step,
            reached_timestamp
        from step_{{ step }}
        {{ "union all" if not loop.last }}
    {% endfor %}
),

final as (
    select
        application_id,
        player_id,
        funnel_name,
        cast(step as integer) as step,
        reached_timestamp,
        reached_timestamp - lag(reached_timestamp) over (
            partition by application_id, player_id, funnel_name
            order by step
        ) as seconds_since_previous_step
    from reached_steps
)

select * from final
