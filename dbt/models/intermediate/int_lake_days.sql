{#
    A run replaces the counts of all sources on a day together, whichever of the sources
    has changed on that day.
#}
{% set sources = ['raw_events', 'rejected_events', 'game_transactions'] %}

with events as (
    select
        partition_date,
        is_valid
    from {{ ref('stg_game_events') }}
    where {{ filter_run_days('partition_date', sources) }}
),

rejected_lines as (
    select partition_date
    from {{ ref('stg_game_events__rejected_lines') }}
    where {{ filter_event_partitions(sources) }}
),

{# The valid rows of the ledger. #}
transactions as (
    select bet_date
    from {{ ref('int_bets') }}
    where {{ filter_run_days('bet_date', sources) }}
),

quarantined_transactions as (
    select bet_date
    from {{ ref('int_quarantined_transactions') }}
    where {{ filter_run_days('bet_date', sources) }}
),

all_rows as (
    select
        'raw_events' as source_name,
        partition_date as lake_date,
        1 as landed_count,
        case when is_valid then 0 else 1 end as mismatch_count,
        0 as rejected_count
    from events
    union all
    select
        'raw_events' as source_name,
        partition_date as lake_date,
        0 as landed_count,
        0 as mismatch_count,
        1 as rejected_count
    from rejected_lines
    union all
    select
        'game_transactions' as source_name,
        bet_date as lake_date,
        1 as landed_count,
        0 as mismatch_count,
        0 as rejected_count
    from transactions
    union all
    select
        'game_transactions' as source_name,
        bet_date as lake_date,
        1 as landed_count,
        1 as mismatch_count,
        0 as rejected_count
    from quarantined_transactions
),

final as (
    select
        source_name,
        lake_date,
        cast(sum(landed_count) as bigint) as landed_count,
        cast(sum(mismatch_count) as bigint) as mismatch_count,
        cast(sum(rejected_count) as bigint) as rejected_count
    from all_rows
    where lake_date is not null
    group by 1, 2
)

select * from final
