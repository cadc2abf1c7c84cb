-- Every amount of marketing spend has an exchange rate and can be held by the marts.
-- Otherwise it is missing from ROAS. Load the missing rate; an amount of 10^13 or more
-- in the reporting currency must be corrected in the file.
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
