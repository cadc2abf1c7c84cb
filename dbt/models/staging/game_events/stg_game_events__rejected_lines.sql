with rejected_events as (
    select
        source_file,
        line_number,
        reason,
        rejected_at,
        year,
        month,
        day
    from {{ source('game_events', 'rejected_events') }}
),

final as (
    select
        source_file,
        line_number,
        reason,
        {{ epoch_to_timestamp('rejected_at') }} as rejected_at,
        {{ parsed_date("year || '-' || month || '-' || day") }} as partition_date,
        year,
        month,
        day
    from rejected_events
)

select * from final
