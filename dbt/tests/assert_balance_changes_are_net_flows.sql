-- What a player received minus what the player spent is the change of the balance, on
-- each day on which every flow agrees with the balances that the events name.
{% set is_tested = filter_tested_keys('model.game_analytics.int_currency_days') %}
with reconciled_days as (
    select
        application_id,
        player_id,
        game_currency,
        event_date,
        sources - sinks as net,
        closing_balance - opening_balance as balance_change
    from {{ ref('int_currency_days') }}
    where
        {{ is_tested or 'true' }}
        and checked_flow_count = flow_count - 1
        and unreconciled_flow_count = 0
)

select
    application_id,
    player_id,
    game_currency,
    event_date,
    net,
    balance_change
from reconciled_days
where net <> balance_change
