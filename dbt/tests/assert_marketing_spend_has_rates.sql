-- Every amount of marketing spend has an exchange rate: without one it is missing from ROAS.
{# The rows are kept, so the reports are built first: no test that has one for a parent stops it. #}
-- depends_on: {{ ref('rpt_ltv_overall') }}
select
    spend_date,
    acquisition_channel,
    missing_rate_count
from {{ ref('int_marketing_spend') }}
where missing_rate_count > 0
