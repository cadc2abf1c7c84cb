{# Days without events are rows as well, so that the KPIs have no gaps. #}
with event_days as (
    select
        application_id,
        event_date
    from {{ ref('int_event_days') }}
),

application_spans as (
    select
        application_id,
        min(event_date) as first_event_date,
        {% if var('as_of_date') -%}
            date '{{ var("as_of_date") }}' as as_of_date
        {%- else -%}
            max(case when event_date < {{ today_utc() }} then event_date end)
                as as_of_date
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
        application_spans.application_id,
        application_spans.first_event_date + cast(numbers.number as integer)
            as activity_date
    from application_spans
    inner join numbers
        on
            application_spans.first_event_date + cast(numbers.number as integer)
            <= application_spans.as_of_date
)

select * from final
