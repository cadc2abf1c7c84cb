with booked_rows as (
    select
        bet_date,
        bet_date as rate_date,
        player_id,
        game_id,
        currency,
        side,
        sign,
        1 as transaction_count,
        cash_amount,
        bonus_amount
    from {{ ref('int_bets') }}
    where
        side not in ('rollback', 'cancel')
        and {{ filter_changed_keys() }}
),

{#
    What is taken back counts on the day of the rollback or cancel, at the exchange rate
    at which it was booked, so that nothing of it remains.
#}
reversed_rows as (
    select
        reversed_date as bet_date,
        bet_date as rate_date,
        player_id,
        game_id,
        currency,
        side,
        -sign as sign,
        0 as transaction_count,
        cash_amount,
        bonus_amount
    from {{ ref('int_bet_reversals') }}
    where
        reversed_date is not null
        and {{ filter_changed_keys(['reversed_date']) }}
),

all_rows as (
    select * from booked_rows
    union all
    select * from reversed_rows
),

bets as (
    select
        bet_date,
        rate_date,
        player_id,
        game_id,
        currency,
        side = 'wager' as is_wager,
        sum(transaction_count) as transaction_count,
        sum(
            case
                when side = 'bonus_result' then 0
                when sign < 0 then -cash_amount
                else cash_amount
            end
        ) as cash_amount,
        sum(
            case when sign < 0 then -bonus_amount else bonus_amount end
            + case
                when side <> 'bonus_result' then 0
                when sign < 0 then -cash_amount
                else cash_amount
            end
        ) as bonus_amount
    from all_rows
    group by 1, 2, 3, 4, 5, 6
),

exchange_rates as (
    select
        rate_date,
        currency,
        rate
    from {{ ref('int_exchange_rates') }}
),

converted_bets as (
    select
        bets.bet_date,
        bets.player_id,
        bets.game_id,
        bets.is_wager,
        bets.transaction_count,
        {{ to_reporting_currency(
            'bets.cash_amount', 'bets.currency', 'exchange_rates.rate'
        ) }} as cash_amount,
        {{ to_reporting_currency(
            'bets.bonus_amount', 'bets.currency', 'exchange_rates.rate'
        ) }} as bonus_amount
    from bets
    left join exchange_rates
        on
            bets.currency = exchange_rates.currency
            and bets.rate_date = exchange_rates.rate_date
),

summed as (
    select
        bet_date,
        player_id,
        game_id,
        sum(case when is_wager then transaction_count else 0 end) as bet_count,
        {{ sum_if_all_known('cash_amount', 'is_wager') }} as cash_turnover,
        {{ sum_if_all_known('bonus_amount', 'is_wager') }} as bonus_turnover,
        {{ sum_if_all_known('cash_amount', 'not is_wager') }} as cash_winnings,
        {{ sum_if_all_known('bonus_amount', 'not is_wager') }} as bonus_winnings
    from converted_bets
    group by 1, 2, 3
),

rounded as (
    select
        bet_date,
        player_id,
        game_id,
        cast(bet_count as bigint) as bet_count,
        cast(cash_turnover as decimal(18, 4)) as cash_turnover,
        cast(bonus_turnover as decimal(18, 4)) as bonus_turnover,
        cast(cash_winnings as decimal(18, 4)) as cash_winnings,
        cast(bonus_winnings as decimal(18, 4)) as bonus_winnings
    from summed
),

final as (
    select
        bet_date,
        player_id,
        game_id,
        bet_count,
        cash_turnover,
        bonus_turnover,
        cash_winnings,
        bonus_winnings,
        cast(cash_turnover + bonus_turnover as decimal(18, 4)) as turnover,
        cast(cash_winnings + bonus_winnings as decimal(18, 4)) as winnings,
        cast(cash_turnover - cash_winnings as decimal(18, 4)) as cash_result,
        cast(bonus_turnover - bonus_winnings as decimal(18, 4)) as bonus_result,
        cast(
            cash_turnover + bonus_turnover - cash_winnings - bonus_winnings
            as decimal(18, 4)
        ) as gross_result
    from rounded
)

select * from final
