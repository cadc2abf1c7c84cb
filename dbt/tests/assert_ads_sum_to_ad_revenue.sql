-- On each day, the revenue of all placements sums to the ad revenue of the KPIs, to the
-- last decimal. A placement has no more players than impressions.
with kpis as (
    select
        application_id,
        kpi_date,
        ad_revenue
    from {{ ref('rpt_daily_kpis') }}
),

placements as (
    select
        application_id,
        impression_date,
        sum(revenue) as revenue,
        max(case when players > impressions then 1 else 0 end) as has_too_many_players
    from {{ ref('rpt_ads') }}
    group by 1, 2
),

final as (
    select
        coalesce(kpis.application_id, placements.application_id) as application_id,
        coalesce(kpis.kpi_date, placements.impression_date) as impression_date,
        kpis.ad_revenue,
        coalesce(placements.revenue, 0) as revenue_of_placements,
        coalesce(placements.has_too_many_players, 0) as has_too_many_players
    from kpis
    full outer join placements
        on
            kpis.application_id = placements.application_id
            and kpis.kpi_date = placements.impression_date
)

select *
from final
where
    ad_revenue is null
    or ad_revenue <> revenue_of_placements
    or has_too_many_players = 1
