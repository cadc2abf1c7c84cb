with bets as (
    select
        bet_date,
        game_id,
        player_id,
        bet_count,
        turnover,
        winnings,
        cash_result,
        gross_result
    from {{ ref('fct_bets') }}
    where {{ filter_changed_keys() }}
),

{# Whether a bet is open depends on its rows of all days. #}
bets_of_days as (
    select distinct
        game_id,
        bet_id
    from {{ ref('int_bets') }}
    where {{ filter_changed_keys() }}
),

booked_rows as (
    select
        int_bets.bet_id,
        int_bets.bet_date,
        int_bets.game_id,
        int_bets.side,
        1 as transaction_count
    from {{ ref('int_bets') }} as int_bets
    inner join bets_of_days
        on
            int_bets.game_id = bets_of_days.game_id
            and int_bets.bet_id = bets_of_days.bet_id
    where int_bets.side not in ('rollback', 'cancel')
),

reversed_rows as (
    select
        reversals.bet_id,
        reversals.bet_date,
        reversals.game_id,
        reversals.side,
        -1 as transaction_count
    from {{ ref('int_bet_reversals') }} as reversals
    inner join bets_of_days
        on
            reversals.game_id = bets_of_days.game_id
            and reversals.bet_id = bets_of_days.bet_id
    where reversals.reversed_date is not null
),

all_rows as (
    select * from booked_rows
    union all
    select * from reversed_rows
),

{# A wager or result that was taken back leaves no bet open. #}
bet_transactions as (
    select
        bet_id,
        bet_date,
        game_id,
        side = 'wager' as is_wager,
        sum(transaction_count) as transaction_count
    from all_rows
    group by 1, 2, 3, 4
    having sum(transaction_count) > 0
),

{# Two games may give the same id to their bets. #}
bet_completeness as (
    select
        game_id,
        bet_id,
        bool_or(is_wager) as has_wager,
        bool_or(not is_wager) as has_result
    from bet_transactions
    group by 1, 2
),

unmatched_transactions as (
    select
        bet_transactions.bet_date,
        bet_transactions.game_id,
        sum(
            case
                when bet_transactions.is_wager and not bet_completeness.has_result
                    then bet_transactions.transaction_count
                else 0
            end
        ) as unsettled_wager_count,
        sum(
            case
                when not bet_transactions.is_wager and not bet_completeness.has_wager
                    then bet_transactions.transaction_count
                else 0
            end
        ) as wins_without_wager_count
    from bet_transactions
    inner join bet_completeness
        on
            bet_transactions.game_id = bet_completeness.game_id
            and bet_transactions.bet_id = bet_completeness.bet_id
    group by 1, 2
),

summed as (
    select
        bet_date,
        game_id,
        sum(bet_count) as bet_count,
        sum(case when bet_count > 0 then 1 else 0 end) as players,
        {{ sum_if_all_known('turnover') }} as turnover,
        {{ sum_if_all_known('winnings') }} as winnings,
        {{ sum_if_all_known('gross_result') }} as ggr,
        {{ sum_if_all_known('cash_result') }} as ngr
    from bets
    group by 1, 2
),

final as (
    select
        summed.bet_date,
        summed.game_id,
        cast(summed.bet_count as bigint) as bet_count,
        cast(summed.players as bigint) as players,
        cast(summed.turnover as decimal(18, 4)) as turnover,
        cast(summed.winnings as decimal(18, 4)) as winnings,
        cast(summed.ggr as decimal(18, 4)) as ggr,
        cast(summed.ngr as decimal(18, 4)) as ngr,
        {{ ratio('summed.winnings', 'summed.turnover') }} as rtp,
        {{ ratio('summed.ggr', 'summed.turnover') }} as hold,
        cast(coalesce(unmatched_transactions.unsettled_wager_count, 0) as bigint)
            as unsettled_wager_count,
        cast(coalesce(unmatched_transactions.wins_without_wager_count, 0) as bigint)
            as wins_without_wager_count
    from summed
    left join unmatched_transactions
        on
            summed.bet_date = unmatched_transactions.bet_date
            and summed.game_id = unmatched_transactions.game_id
)

select * from final
