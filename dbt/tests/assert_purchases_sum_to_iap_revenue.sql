-- On each day, the purchases of an application have the in-app revenue, the payers and
-- the first-time payers of its KPIs, and the rows by item have as many purchases and as
-- much revenue.
with kpis as (
    select
        application_id,
        kpi_date as purchase_date,
        iap_revenue,
        payers,
        first_time_payers
    from {{ ref('rpt_daily_kpis') }}
),

purchases as (
    select
        application_id,
        purchase_date,
        purchases,
        revenue,
        payers,
        first_time_purchases
    from {{ ref('rpt_purchases') }}
),

items as (
    select
        application_id,
        purchase_date,
        sum(purchases) as purchases,
        sum(revenue) as revenue
    from {{ ref('rpt_purchases_by_item') }}
    group by 1, 2
),

final as (
    select
        coalesce(kpis.application_id, purchases.application_id) as application_id,
        coalesce(kpis.purchase_date, purchases.purchase_date) as purchase_date,
        kpis.iap_revenue,
        purchases.revenue,
        coalesce(items.revenue, 0) as revenue_of_items,
        kpis.payers,
        purchases.payers as payers_of_purchases,
        kpis.first_time_payers,
        purchases.first_time_purchases,
        purchases.purchases,
        coalesce(items.purchases, 0) as purchases_of_items
    from kpis
    full outer join purchases
        on
            kpis.application_id = purchases.application_id
            and kpis.purchase_date = purchases.purchase_date
    left join items
        on
            purchases.application_id = items.application_id
            and purchases.purchase_date = items.purchase_date
)

select *
from final
where
    coalesce(iap_revenue, -1) <> coalesce(revenue, -2)
    or coalesce(payers, -1) <> coalesce(payers_of_purchases, -2)
    or coalesce(first_time_payers, -1) <> coalesce(first_time_purchases, -2)
    or revenue <> revenue_of_items
    or purchases <> purchases_of_items
