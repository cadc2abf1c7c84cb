-- The active players of a day also count in WAU, and the players of WAU also count in
-- MAU. The new players of a day are active on it.
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
