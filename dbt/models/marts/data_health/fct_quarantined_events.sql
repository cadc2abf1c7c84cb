with mismatched_events as (
    select
        partition_date,
        application_id,
        event_id,
        event_type,
        event_timestamp,
        arrival_timestamp,
        mismatch_reason,
        payload
    from {{ ref('stg_game_events') }}
    where
        not is_valid
        and {{ filter_replaced_days() }}
),

final as (
    select
        partition_date,
        application_id,
        event_id,
        event_type,
        event_timestamp,
        {{ epoch_to_timestamp('arrival_timestamp') }} as arrived_at,
        mismatch_reason as reason,
        left({{ masked('payload') }}, 1000) as payload
    from mismatched_events
)

select * from final
