-- Every active player of a day has exactly one value in each segment, so the DAU of all
-- values of a segment add up to the DAU of the application.
with daily as (
    select
        application_id,
        kpi_date,
        dau
    from {{ ref('rpt_daily_kpis') }}
),

by_segment as (
    select
        application_id,
        segment_name,
        kpi_date,
        sum(dau) as dau
    from {{ ref('rpt_daily_kpis_by_segment') }}
    group by 1, 2, 3
),

segments as (
    select distinct
        application_id,
        segment_name
    from by_segment
)

select
    daily.application_id,
    daily.kpi_date,
    segments.segment_name,
    daily.dau,
    by_segment.dau as dau_of_segments
from daily
inner join segments
    on daily.application_id = segments.application_id
left join by_segment
    on
        segments.application_id = by_segment.application_id
        and segments.segment_name = by_segment.segment_name
        and daily.kpi_date = by_segment.kpi_date
where daily.dau <> coalesce(by_segment.dau, 0)
