-- Every bet has an exchange rate and an amount that the marts can hold. Otherwise the
-- result of its player, game and day is null, and the column cause names the reason.
-- no_exchange_rate: load a rate of the currency for the bet's day or for one of the 7
-- days before. amount_too_large: correct the amount in the ledger, because it is 10^13
-- or more in the reporting currency.
{#
    This dependency makes dbt build the report before it runs this test. Rows without a
    rate are kept, so a failure must not stop the report.
#}
-- depends_on: {{ ref('rpt_betting') }}
with results as (
    select
        bet_date,
        player_id,
        game_id
    from {{ ref('fct_bets') }}
    where
        cash_turnover is null
        or bonus_turnover is null
        or cash_winnings is null
        or bonus_winnings is null
),

{#
    A row that is taken back has the rate of the day on which it was booked. Only days
    with such a result are read.
#}
bets as (
    select
        bet_date,
        bet_date as rate_date,
        player_id,
        game_id,
        currency
    from {{ ref('int_bets') }}
    where bet_date in (select results.bet_date from results)
    union all
    select
        reversed_date as bet_date,
        bet_date as rate_date,
        player_id,
        game_id,
        currency
    from {{ ref('int_bet_reversals') }}
    where reversed_date in (select results.bet_date from results)
),

missing_rates as (
    select
        bets.bet_date,
        bets.player_id,
        bets.game_id,
        min(bets.currency) as currency
    from bets
    left join {{ ref('int_exchange_rates') }} as exchange_rates
        on
            bets.currency = exchange_rates.currency
            and bets.rate_date = exchange_rates.rate_date
    where bets.currency <> {{ reporting_currency() }} and exchange_rates.rate is null
    group by 1, 2, 3
)

select
    results.bet_date,
    results.player_id,
    results.game_id,
    missing_rates.currency,
    case
        when missing_rates.currency is null then 'amount_too_large'
        else 'no_exchange_rate'
    end as cause
from results
left join missing_rates
    on
        results.bet_date = missing_rates.bet_date
        and results.player_id = missing_rates.player_id
        and results.game_id = missing_rates.game_id
