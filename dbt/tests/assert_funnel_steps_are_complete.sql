-- The steps of a funnel are numbered from 1 without gaps, because a missing step would
-- end the funnel. A step names both a column and its value, or neither of them. A step
-- has other events than the step before it, because one event would reach both.
with numbered_steps as (
    select
        funnel_name,
        step,
        step_name,
        event_type,
        detail_column,
        detail_value,
        row_number() over (
            partition by funnel_name
            order by step
        ) as expected_step,
        lag(event_type) over (
            partition by funnel_name
            order by step
        ) as previous_event_type,
        lag(detail_column) over (
            partition by funnel_name
            order by step
        ) as previous_detail_column,
        lag(detail_value) over (
            partition by funnel_name
            order by step
        ) as previous_detail_value
    from {{ ref('funnel_steps') }}
)

select *
from numbered_steps
where
    step <> expected_step
    or (detail_column is null and detail_value is not null)
    or (detail_column is not null and detail_value is null)
    or (
        event_type = previous_event_type
        and coalesce(detail_column, '') = coalesce(previous_detail_column, '')
        and coalesce(detail_value, '') = coalesce(previous_detail_value, '')
    )
