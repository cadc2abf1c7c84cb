with transactions as (
    select
        bet_date,
        bet_id,
        player_id,
        game_id,
        transaction_type,
        currency,
        cash_amount,
        bonus_amount,
        partition_day
    from {{ ref('stg_ledger__transactions') }}
    where
        is_valid
        and {{ filter_date_partitions('partition_day', sources=['game_transactions']) }}
),

final as (
    select
        bet_date,
        bet_id,
        player_id,
        game_id,
        currency,
        transaction_type = 'WAGER' as is_wager,
        count(*) as transaction_count,
        sum(cash_amount) as cash_amount,
        sum(bonus_amount) as bonus_amount
    from transactions
    group by 1, 2, 3, 4, 5, 6
)

select * from final
