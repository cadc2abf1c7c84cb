{#
    The segment `all` begins with the application, so that its KPIs have no gap. Days
    after the as-of day do not count yet.
#}
with segment_days as (
    select
        application_id,
        segment_name,
        segment_value,
        activity_date
    from {{ ref('int_segment_days') }}
    where player_count > 0
),

application_days as (
    select
        application_id,
        min(activity_date) as first_date,
        max(activity_date) as as_of_date
    from {{ ref('int_application_days') }}
    group by 1
),

first_days as (
    select
        segment_days.application_id,
        segment_days.segment_name,
        segment_days.segment_value,
        segment_days.activity_date
    from segment_days
    inner join application_days
        on
            segment_days.application_id = application_days.application_id
            and segment_days.activity_date <= application_days.as_of_date
    union all
    select
        application_id,
        'all' as segment_name,
        'all' as segment_value,
        first_date as activity_date
    from application_days
),

final as (
    select
        application_id,
        segment_name,
        segment_value,
        min(activity_date) as first_date
    from first_days
    group by 1, 2, 3
)

select * from final
