with funnel_steps as (
    select
        funnel_name,
        step,
        step_name,
        event_type
    from {{ ref('funnel_steps') }}
),

applications as (
    select distinct application_id
    from {{ ref('int_event_days') }}
),

reached_steps as (
    select
        application_id,
        funnel_name,
        step,
        seconds_since_previous_step
    from {{ ref('int_player_funnels') }}
),

counts as (
    select
        application_id,
        funnel_name,
        step,
        count(*) as players
    from reached_steps
    group by 1, 2, 3
),

ordered_durations as (
    select
        application_id,
        funnel_name,
        step,
        seconds_since_previous_step,
        row_number() over (
            partition by application_id, funnel_name, step
            order by seconds_since_previous_step
        ) as duration_order,
        count(*) over (
            partition by application_id, funnel_name, step
        ) as duration_count
    from reached_steps
    where seconds_since_previous_step is not null
),

medians as (
    select
        application_id,
        funnel_name,
        step,
        min(
            case
                when duration_order * 2 >= duration_count
                    then seconds_since_previous_step
            end
        ) as median_seconds
    from ordered_durations
    group by 1, 2, 3
),

all_steps as (
    select
        applications.application_id,
        funnel_steps.funnel_name,
        funnel_steps.step,
        funnel_steps.step_name,
        funnel_steps.event_type,
        cast(coalesce(counts.players, 0) as bigint) as players,
        cast(medians.median_seconds as bigint) as median_seconds
    from applications
    cross join funnel_steps
    left join counts
        on
            applications.application_id = counts.application_id
            and funnel_steps.funnel_name = counts.funnel_name
            and funnel_steps.step = counts.step
    left join medians
        on
            applications.application_id = medians.application_id
            and funnel_steps.funnel_name = medians.funnel_name
            and funnel_steps.step = medians.step
),

steps_with_others as (
    select
        *,
        lag(players) over (
            partition by application_id, funnel_name
            order by step
        ) as players_of_previous_step,
        max(case when step = 1 then players end) over (
            partition by application_id, funnel_name
        ) as players_of_first_step
    from all_steps
),

final as (
    select
        application_id,
        funnel_name,
        step,
        step_name,
        event_type,
        players,
        players_of_previous_step,
        {{ ratio('players', 'players_of_previous_step') }} as conversion_from_previous,
        players_of_first_step,
        {{ ratio('players', 'players_of_first_step') }} as conversion_from_first,
        median_seconds as median_seconds_from_previous
    from steps_with_others
)

select * from final
