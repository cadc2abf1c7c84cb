-- Every ad impression with an amount has an exchange rate and an amount that the marts
-- can hold. Otherwise its amount is not part of any ad revenue. Load the missing rate;
-- an amount of 10^13 or more in the reporting currency must be corrected in the event.
{#
    This dependency makes dbt build the reports before it runs this test. Rows without a
    rate are kept, so a failure must not stop the reports.
#}
-- depends_on: {{ ref('rpt_ltv_overall') }}
select
    ad_impressions.event_date,
    ad_impressions.currency,
    count(*) as impression_count
from {{ ref('int_money_events') }} as ad_impressions
left join {{ ref('int_exchange_rates') }} as exchange_rates
    on
        ad_impressions.currency = exchange_rates.currency
        and ad_impressions.event_date = exchange_rates.rate_date
where
    ad_impressions.event_type = 'ad_impression'
    and ad_impressions.amount <> 0
    and {{ to_reporting_currency(
        'ad_impressions.amount', 'ad_impressions.currency', 'exchange_rates.rate'
    ) }} is null
group by 1, 2
