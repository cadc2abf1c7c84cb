-- The steps of a funnel are numbered from 1 without gaps, because a missing step would
-- end the funnel. A step names both a column and its value, or neither of them.
with numbered_steps as (
    select
        funnel_name,
        step,
        step_name,
        detail_column,
        detail_value,
        row_number() over (
            partition by funnel_name
            order by step
        ) as expected_step
    from {{ ref('funnel_steps') }}
)

select *
from numbered_steps
where
    step <> expected_step
    or (detail_column is null and detail_value is not null)
    or (detail_column is not null and detail_value is null)
