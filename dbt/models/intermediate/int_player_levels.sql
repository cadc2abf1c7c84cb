with level_days as (
    select
        application_id,
        player_id,
        level_id,
        level_version,
        event_date,
        start_count,
        completion_count,
        failure_count,
        starts_to_completion,
        failures_to_completion,
        last_start_timestamp
    from {{ ref('int_level_days') }}
    where {{ filter_changed_keys() }}
),

days_with_clear as (
    select
        *,
        min(case when completion_count > 0 then event_date end) over (
            partition by application_id, player_id, level_id, level_version
        ) as clear_date
    from level_days
),

player_levels as (
    select
        application_id,
        player_id,
        level_id,
        level_version,
        sum(start_count) as attempts,
        sum(completion_count) as completions,
        sum(failure_count) as failures,
        sum(
            case
                when event_date < clear_date then start_count
                when event_date = clear_date then starts_to_completion
                else 0
            end
        ) as starts_to_clear,
        sum(
            case
                when event_date < clear_date then failure_count
                when event_date = clear_date then failures_to_completion
                else 0
            end
        ) as failures_to_clear,
        max(last_start_timestamp) as last_start_timestamp
    from days_with_clear
    group by 1, 2, 3, 4
),

{#
    A player has one last level. So of two levels that were started in the same second,
    only one is the last, and no player counts twice.
#}
ordered_levels as (
    select
        *,
        player_id <> '' as has_player,
        row_number() over (
            partition by application_id, player_id
            order by
                coalesce(last_start_timestamp, 0) desc,
                level_id desc,
                level_version desc
        ) as start_order,
        sum(completions) over (
            partition by application_id, player_id, level_id
        ) as completions_of_all_versions
    from player_levels
),

{# A completion without a start is the end of an attempt whose start was lost. #}
final as (
    select
        application_id,
        player_id,
        level_id,
        level_version,
        cast(attempts as bigint) as attempts,
        cast(completions as bigint) as completions,
        cast(failures as bigint) as failures,
        cast(
            case
                when has_player and completions > 0 then greatest(starts_to_clear, 1)
            end as bigint
        ) as attempts_to_clear,
        has_player
        and completions > 0
        and starts_to_clear <= 1
        and failures_to_clear = 0 as is_cleared_at_first_try,
        has_player
        and attempts > 0
        and start_order = 1
        and completions_of_all_versions = 0 as is_dropped_off
    from ordered_levels
)

select * from final
