{# Every day from an application's first event to its as-of day, also the days without events. #}
with event_days as (
    select
        application_id,
        event_date
    from {{ ref('int_event_days') }}
),

spans as (
    select
        application_id,
        min(event_date) as first_event_date,
        {% if var('as_of_date') -%}
            date '{{ var("as_of_date") }}' as as_of_date
        {%- else -%}
            max(case when event_date < {{ today_utc() }} then event_date end) as as_of_date
        {%- endif %}
    from event_days
    group by 1
),

numbers as (
    select number
    from {{ numbers(5) }} as numbers
),

final as (
    select
        spans.application_id,
        spans.first_event_date + cast(numbers.number as integer) as activity_date,
        spans.as_of_date
    from spans
    inner join numbers
        on spans.first_event_date + cast(numbers.number as integer) <= spans.as_of_date
)

select * from final
