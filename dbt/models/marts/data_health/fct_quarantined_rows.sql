with quarantined_rows as (
    select
        'game_transactions' as source_name,
        bet_date as partition_day,
        source_file,
        line_number,
        mismatch_reason as reason,
        payload
    from {{ ref('int_quarantined_transactions') }}
    union all
    select
        'game_transactions' as source_name,
        bet_date as partition_day,
        source_file,
        line_number,
        mismatch_reason as reason,
        payload
    from {{ ref('int_bet_reversals') }}
    where mismatch_reason is not null
    union all
    select
        'currency_exchange' as source_name,
        cast(null as date) as partition_day,
        source_file,
        line_number,
        mismatch_reason as reason,
        payload
    from {{ ref('stg_ledger__exchange_rates') }}
    where not is_valid
    union all
    select
        source_name as source_name,
        cast(null as date) as partition_day,
        source_file,
        line_number,
        mismatch_reason as reason,
        payload
    from {{ ref('stg_ledger__rows_without_id') }}
    union all
    select
        'marketing_spend' as source_name,
        cast(null as date) as partition_day,
        source_file,
        line_number,
        mismatch_reason as reason,
        payload
    from {{ ref('stg_marketing__spend') }}
    where mismatch_reason is not null
),

final as (
    select
        source_name,
        partition_day,
        source_file,
        line_number,
        reason,
        left(payload, 1000) as payload
    from quarantined_rows
)

select * from final
