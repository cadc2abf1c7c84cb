-- Every type of a ledger transaction is in the seed transaction_types. Transactions of
-- another type are quarantined: add the type to dbt/seeds/transaction_types.csv.
{{ config(severity='warn') }}
{% set days = tested_days('model.game_analytics.int_quarantined_transactions') %}
with transactions as (
    select
        bet_date,
        transaction_type
    from {{ ref('int_quarantined_transactions') }}
    where transaction_type is not null and {{ filter_days('bet_date', days) }}
),

transaction_types as (
    select transaction_type
    from {{ ref('transaction_types') }}
)

select
    transactions.transaction_type,
    count(*) as transaction_count,
    min(transactions.bet_date) as first_bet_date,
    max(transactions.bet_date) as last_bet_date
from transactions
left join transaction_types
    on transactions.transaction_type = transaction_types.transaction_type
where transaction_types.transaction_type is null
group by 1
