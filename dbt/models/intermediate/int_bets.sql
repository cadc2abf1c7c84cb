{# Lines that are alike in all columns are numbered, so that each has a key. #}
with transactions as (
    select
        bet_date,
        bet_id,
        player_id,
        game_id,
        currency,
        transaction_type,
        side,
        sign,
        cash_amount,
        bonus_amount,
        case when side in ('rollback', 'cancel') then source_file end as source_file,
        case when side in ('rollback', 'cancel') then line_number end as line_number,
        case when side in ('rollback', 'cancel') then left(payload, 1000) end as payload
    from {{ ref('stg_ledger__transactions') }}
    where
        is_valid
        and {{ filter_date_partitions('partition_day', sources=['game_transactions']) }}
),

final as (
    select
        *,
        row_number() over (
            partition by
                bet_date, bet_id, player_id, game_id, currency, transaction_type,
                cash_amount, bonus_amount
            order by payload, source_file, line_number
        ) as copy_number
    from transactions
)

select * from final
