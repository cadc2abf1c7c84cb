-- The players of a day are among those of its week, and these among those of its month.
select
    application_id,
    segment_name,
    segment_value,
    kpi_date,
    dau,
    wau,
    mau
from {{ ref('int_kpis_by_segment') }}
where
    dau > wau
    or wau > mau
    or new_players > dau
