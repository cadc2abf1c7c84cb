-- Every purchase has an exchange rate. Without a rate, its revenue is null and is not
-- part of any sum.
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
