with transactions as (
    select
        bet_date,
        transaction_type,
        source_file,
        line_number,
        mismatch_reason,
        payload
    from {{ ref('stg_ledger__transactions') }}
    where
        not is_valid
        and {{ filter_date_partitions('partition_day', sources=['game_transactions']) }}
),

{# A row whose folder is no day is in no partition that a build knows of. #}
final as (
    select
        bet_date,
        transaction_type,
        source_file,
        line_number,
        mismatch_reason,
        left(payload, 1000) as payload
    from transactions
    where bet_date is not null
)

select * from final
