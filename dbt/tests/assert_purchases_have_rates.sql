-- Every purchase has an exchange rate: without one its revenue is not known and counts nowhere.
{# The rows are kept, so the reports are built first: no test that has one for a parent stops it. #}
-- depends_on: {{ ref('rpt_ltv_overall') }}
select
    application_id,
    transaction_id,
    purchase_date,
    original_currency
from {{ ref('fct_purchases') }}
where revenue is null
