-- A landed row is an event, a duplicate of an event, or not valid. So no day has more
-- events than valid rows, and no day has valid rows but no event.
with valid_rows as (
    select
        lake_date,
        landed_count - mismatch_count as valid_count
    from {{ ref('int_lake_days') }}
    where source_name = 'raw_events'
),

events as (
    select
        event_date,
        sum(event_count) as event_count
    from {{ ref('int_event_days') }}
    group by 1
),

final as (
    select
        coalesce(valid_rows.lake_date, events.event_date) as lake_date,
        coalesce(valid_rows.valid_count, 0) as valid_count,
        coalesce(events.event_count, 0) as event_count
    from valid_rows
    full outer join events
        on valid_rows.lake_date = events.event_date
)

select *
from final
where
    event_count > valid_count
    or (event_count = 0 and valid_count > 0)
