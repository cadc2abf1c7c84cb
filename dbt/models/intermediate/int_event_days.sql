{#
    A run replaces its days and their neighbours in int_events. This model replaces
    these days and the two days after them, because an event is compared with the two
    days before it.
#}
with events as (
    select
        application_id,
        event_id,
        event_date,
        player_id,
        is_known_type,
        arrived_at
    from {{ ref('int_events') }}
    where {{ filter_run_days('event_date', before=3, after=3) }}
),

events_with_previous_day as (
    select
        *,
        cast(arrived_at as date) - event_date as late_days,
        lag(event_date) over (
            partition by application_id, event_id
            order by event_date
        ) as previous_date
    from events
),

final as (
    select
        application_id,
        event_date,
        count(*) as event_count,
        sum(case when player_id is null then 1 else 0 end) as null_player_count,
        sum(case when is_known_type then 0 else 1 end) as unknown_type_count,
        sum(case when late_days = 1 then 1 else 0 end) as late_1_day_count,
        sum(case when late_days between 2 and 7 then 1 else 0 end)
            as late_2_to_7_days_count,
        sum(case when late_days > 7 then 1 else 0 end) as late_over_7_days_count,
        sum(case when previous_date >= event_date - 2 then 1 else 0 end)
            as repeated_across_days_count
    from events_with_previous_day
    group by 1, 2
)

select
    application_id,
    event_date,
    event_count,
    cast(null_player_count as bigint) as null_player_count,
    cast(unknown_type_count as bigint) as unknown_type_count,
    cast(late_1_day_count as bigint) as late_1_day_count,
    cast(late_2_to_7_days_count as bigint) as late_2_to_7_days_count,
    cast(late_over_7_days_count as bigint) as late_over_7_days_count,
    cast(repeated_across_days_count as bigint) as repeated_across_days_count
from final
where {{ filter_replaced_days() }}
