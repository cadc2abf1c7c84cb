-- No amount of the ledger is below zero, unless its type allows it, and none is above
-- the variable largest_bet_amount. Such amounts count in the marts: correct the ledger,
-- or the seed transaction_types, or the variable.
{{ config(severity='warn') }}
{% set days = tested_days('model.game_analytics.int_bets') %}
with bets as (
    select
        bet_date,
        game_id,
        bet_id,
        transaction_type,
        currency,
        cash_amount,
        bonus_amount
    from {{ ref('int_bets') }}
    where {{ filter_days('bet_date', days) }}
),

converted_bets as (
    select
        bets.*,
        transaction_types.may_be_negative,
        {{ to_reporting_currency(
            'bets.cash_amount', 'bets.currency', 'exchange_rates.rate'
        ) }} as converted_cash_amount,
        {{ to_reporting_currency(
            'bets.bonus_amount', 'bets.currency', 'exchange_rates.rate'
        ) }} as converted_bonus_amount
    from bets
    inner join {{ ref('transaction_types') }} as transaction_types
        on bets.transaction_type = transaction_types.transaction_type
    left join {{ ref('int_exchange_rates') }} as exchange_rates
        on
            bets.currency = exchange_rates.currency
            and bets.bet_date = exchange_rates.rate_date
)

select
    bet_date,
    game_id,
    bet_id,
    transaction_type,
    currency,
    cash_amount,
    bonus_amount
from converted_bets
where
    (not may_be_negative and (cash_amount < 0 or bonus_amount < 0))
    or abs(converted_cash_amount) > {{ var('largest_bet_amount') }}
    or abs(converted_bonus_amount) > {{ var('largest_bet_amount') }}
