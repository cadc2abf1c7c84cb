-- Every amount of marketing spend has an exchange rate. Without a rate, it is missing
-- from ROAS.
{#
    This dependency makes dbt build the reports before it runs this test. Rows without a
    rate are kept, so a failure must not stop the reports.
#}
-- depends_on: {{ ref('rpt_ltv_overall') }}
select
    spend_date,
    acquisition_channel,
    missing_rate_count
from {{ ref('int_marketing_spend') }}
where missing_rate_count > 0
