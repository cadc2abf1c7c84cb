-- Every amount of marketing spend has an exchange rate: without one it is missing from ROAS.
select
    spend_date,
    acquisition_channel,
    missing_rate_count
from {{ ref('int_marketing_spend') }}
where missing_rate_count > 0
