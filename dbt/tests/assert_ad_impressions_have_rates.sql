-- Every ad impression with an amount has an exchange rate. Without a rate, its amount
-- is not part of any ad revenue.
{#
    This dependency makes dbt build the reports before it runs this test. Rows without a
    rate are kept, so a failure must not stop the reports.
#}
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
