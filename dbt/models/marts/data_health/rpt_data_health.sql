with lake_days as (
    select
        source_name,
        lake_date,
        landed_count,
        mismatch_count,
        rejected_count
    from {{ ref('int_lake_days') }}
),

event_days as (
    select
        event_date,
        sum(event_count) as event_count,
        sum(null_player_count) as null_player_count,
        sum(unknown_type_count) as unknown_type_count,
        sum(late_1_day_count) as late_1_day_count,
        sum(late_2_to_7_days_count) as late_2_to_7_days_count,
        sum(late_over_7_days_count) as late_over_7_days_count,
        sum(repeated_across_days_count) as repeated_across_days_count
    from {{ ref('int_event_days') }}
    group by 1
),

{# Whether a rollback has something to take back depends on the rows of other days. #}
reversals_without_effect as (
    select
        bet_date,
        count(*) as mismatch_count
    from {{ ref('int_bet_reversals') }}
    where mismatch_reason is not null
    group by 1
),

purchases as (
    select
        application_id,
        transaction_id,
        player_id,
        event_date
    from {{ ref('int_money_events') }}
    where
        event_type = 'iap_transaction'
        and player_id is not null
        and amount >= 0
),

shared_transactions as (
    select
        application_id,
        transaction_id
    from purchases
    group by 1, 2
    having min(player_id) <> max(player_id)
),

purchase_days as (
    select
        purchases.event_date,
        count(*) as shared_transaction_count
    from purchases
    inner join shared_transactions
        on
            purchases.application_id = shared_transactions.application_id
            and purchases.transaction_id = shared_transactions.transaction_id
    group by 1
),

refund_days as (
    select
        refund_date,
        sum(case when is_known_transaction then 0 else 1 end) as unknown_refund_count,
        sum(case when is_excess then 1 else 0 end) as excess_refund_count
    from {{ ref('int_refunds') }}
    group by 1
),

final as (
    select
        lake_days.source_name,
        lake_days.lake_date as health_date,
        lake_days.landed_count,
        lake_days.rejected_count,
        cast(
            lake_days.mismatch_count
            + coalesce(reversals_without_effect.mismatch_count, 0) as bigint
        ) as schema_mismatch_count,
        case
            when lake_days.source_name = 'raw_events'
                then cast(
                    lake_days.landed_count - lake_days.mismatch_count
                    - coalesce(event_days.event_count, 0) as bigint
                )
            else 0
        end as duplicate_count,
        cast(coalesce(event_days.late_1_day_count, 0) as bigint) as late_1_day_count,
        cast(coalesce(event_days.late_2_to_7_days_count, 0) as bigint)
            as late_2_to_7_days_count,
        cast(coalesce(event_days.late_over_7_days_count, 0) as bigint)
            as late_over_7_days_count,
        cast(coalesce(event_days.repeated_across_days_count, 0) as bigint)
            as repeated_across_days_count,
        cast(coalesce(event_days.unknown_type_count, 0) as bigint)
            as unknown_type_count,
        cast(coalesce(event_days.null_player_count, 0) as bigint) as null_player_count,
        cast(coalesce(purchase_days.shared_transaction_count, 0) as bigint)
            as shared_transaction_count,
        cast(coalesce(refund_days.unknown_refund_count, 0) as bigint)
            as unknown_refund_count,
        cast(coalesce(refund_days.excess_refund_count, 0) as bigint)
            as excess_refund_count,
        last_week.landed_count as landed_count_a_week_before,
        {{ ratio('lake_days.landed_count', 'last_week.landed_count') }}
            as volume_against_a_week_before
    from lake_days
    left join event_days
        on
            lake_days.source_name = 'raw_events'
            and lake_days.lake_date = event_days.event_date
    left join reversals_without_effect
        on
            lake_days.source_name = 'game_transactions'
            and lake_days.lake_date = reversals_without_effect.bet_date
    left join purchase_days
        on
            lake_days.source_name = 'raw_events'
            and lake_days.lake_date = purchase_days.event_date
    left join refund_days
        on
            lake_days.source_name = 'raw_events'
            and lake_days.lake_date = refund_days.refund_date
    left join lake_days as last_week
        on
            lake_days.source_name = last_week.source_name
            and lake_days.lake_date - 7 = last_week.lake_date
)

select * from final
