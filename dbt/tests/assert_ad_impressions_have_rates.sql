-- Every ad impression that pays has an exchange rate: without one it counts in no ad revenue.
{# The rows are kept, so the reports are built first: no test that has one for a parent stops it. #}
-- depends_on: {{ ref('rpt_ltv_overall') }}
with ad_impressions as (
    select
        event_date,
        currency,
        count(*) as impression_count
    from {{ ref('int_money_events') }}
    where
        event_type = 'ad_impression'
        and amount <> 0
        and currency <> {{ reporting_currency() }}
    group by 1, 2
)

select ad_impressions.*
from ad_impressions
left join {{ ref('int_exchange_rates') }} as exchange_rates
    on
        ad_impressions.currency = exchange_rates.currency
        and ad_impressions.event_date = exchange_rates.rate_date
where exchange_rates.rate is null
