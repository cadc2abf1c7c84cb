-- A row of the event files is landed, and a landed row is an event, a duplicate of an
-- event, or not valid. So no day has fewer landed rows than its files had when the run
-- listed them, more events than valid rows, or valid rows but no event.
with lake_days as (
    select
        lake_date,
        landed_count,
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

files as (
    select
        cast(day as date) as lake_date,
        row_count
    from {{ generate_schema_name('operations', none) }}.run_days
    where source = 'raw_events'
),

days as (
    select lake_date as day from lake_days
    union
    select event_date as day from events
    union
    select lake_date as day from files
),

final as (
    select
        days.day as lake_date,
        coalesce(files.row_count, 0) as row_count_of_files,
        coalesce(lake_days.landed_count, 0) as landed_count,
        coalesce(lake_days.valid_count, 0) as valid_count,
        coalesce(events.event_count, 0) as event_count
    from days
    left join lake_days
        on days.day = lake_days.lake_date
    left join events
        on days.day = events.event_date
    left join files
        on days.day = files.lake_date
)

select *
from final
where
    row_count_of_files > landed_count
    or event_count > valid_count
    or (event_count = 0 and valid_count > 0)
