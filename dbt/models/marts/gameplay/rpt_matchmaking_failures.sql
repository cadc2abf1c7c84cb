with failures as (
    select
        application_id,
        matchmaking_date,
        match_type,
        map_id,
        failure_reason
    from {{ ref('int_matchmaking_events') }}
    where
        event_type = 'matchmaking_failed'
        and {{ filter_changed_keys() }}
),

segment_failures as (
    select
        application_id,
        'match_type' as segment_name,
        match_type as segment_value,
        matchmaking_date,
        failure_reason
    from failures
    union all
    select
        application_id,
        'map_id' as segment_name,
        map_id as segment_value,
        matchmaking_date,
        failure_reason
    from failures
),

counts as (
    select
        application_id,
        segment_name,
        segment_value,
        matchmaking_date,
        failure_reason,
        count(*) as failures
    from segment_failures
    group by 1, 2, 3, 4, 5
),

counts_with_total as (
    select
        *,
        sum(failures) over (
            partition by application_id, segment_name, segment_value, matchmaking_date
        ) as all_failures
    from counts
),

final as (
    select
        application_id,
        cast(segment_name as varchar(16)) as segment_name,
        segment_value,
        matchmaking_date,
        failure_reason,
        cast(failures as bigint) as failures_with_reason,
        cast(all_failures as bigint) as matchmaking_failures,
        {{ ratio('failures', 'all_failures') }} as failure_share
    from counts_with_total
)

select * from final
