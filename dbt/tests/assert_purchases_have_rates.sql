-- Every purchase has an exchange rate and an amount that the marts can hold. Otherwise
-- its revenue is null and is not part of any sum. Load the missing rate; an amount of
-- 10^13 or more in the reporting currency must be corrected in the event.
{#
    This dependency makes dbt build the reports before it runs this test. Rows without a
    rate are kept, so a failure must not stop the reports.
#}
-- depends_on: {{ ref('rpt_ltv_overall') }}
select
    application_id,
    transaction_id,
    purchase_date,
    original_currency
from {{ ref('fct_purchases') }}
where revenue is null
