-- Every purchase has an exchange rate: without one its revenue is not known and counts nowhere.
select
    application_id,
    transaction_id,
    purchase_date,
    original_currency
from {{ ref('fct_purchases') }}
where revenue is null
