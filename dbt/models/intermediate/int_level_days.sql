{#
    An event without a player still is an attempt or an outcome of its level. The empty
    text stands for no player, because a key cannot hold a null and no player has an
    empty id.
#}
with events as (
    select
        application_id,
        event_date,
        event_timestamp,
        event_type,
        coalesce(player_id, '') as player_id,
        coalesce(level_id, 'Unknown') as level_id,
        coalesce(level_version, 'Unknown') as level_version
    from {{ ref('int_gameplay_events') }}
    where
        event_type in ('level_started', 'level_completed', 'level_failed')
        and {{ filter_replaced_days() }}
),

events_with_completion as (
    select
        *,
        min(
            case when event_type = 'level_completed' then event_timestamp end
        ) over (
            partition by
                application_id, player_id, level_id, level_version, event_date
        ) as first_completion_timestamp
    from events
),

{# A level that is started and completed in one second was started first. #}
final as (
    select
        application_id,
        player_id,
        level_id,
        level_version,
        event_date,
        cast(sum(case when event_type = 'level_started' then 1 else 0 end) as bigint)
            as start_count,
        cast(
            sum(case when event_type = 'level_completed' then 1 else 0 end) as bigint
        ) as completion_count,
        cast(sum(case when event_type = 'level_failed' then 1 else 0 end) as bigint)
            as failure_count,
        cast(
            sum(
                case
                    when
                        event_type = 'level_started'
                        and event_timestamp <= first_completion_timestamp
                        then 1
                    else 0
                end
            ) as bigint
        ) as starts_to_completion,
        cast(
            sum(
                case
                    when
                        event_type = 'level_failed'
                        and event_timestamp < first_completion_timestamp
                        then 1
                    else 0
                end
            ) as bigint
        ) as failures_to_completion,
        max(case when event_type = 'level_started' then event_timestamp end)
            as last_start_timestamp
    from events_with_completion
    group by 1, 2, 3, 4, 5
)

select * from final
