-- Every refund with an amount has an exchange rate of its own day and an amount that
-- the marts can hold. Otherwise the refund is not part of any sum. Load the missing
-- rate; an amount of 10^13 or more in the reporting currency must be corrected in the
-- event.
{#
    This dependency makes dbt build the reports before it runs this test. Rows without a
    rate are kept, so a failure must not stop the reports.
#}
-- depends_on: {{ ref('rpt_ltv_overall') }}
select
    application_id,
    event_id,
    transaction_id,
    refund_date,
    currency
from {{ ref('int_refunds') }}
where is_rate_missing
