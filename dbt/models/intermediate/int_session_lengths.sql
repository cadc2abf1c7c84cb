with sessions as (
    select
        application_id,
        player_id,
        session_date,
        duration_seconds
    from {{ ref('fct_sessions') }}
    where {{ filter_replaced_days() }}
),

sessions_in_buckets as (
    select
        application_id,
        player_id,
        session_date,
        {{ session_length_bucket('duration_seconds') }} as bucket_order
    from sessions
),

final as (
    select
        application_id,
        session_date,
        cast(bucket_order as integer) as bucket_order,
        count(*) as session_count,
        count(distinct player_id) as players
    from sessions_in_buckets
    group by 1, 2, 3
)

select * from final
