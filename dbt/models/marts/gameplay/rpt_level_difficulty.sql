with player_levels as (
    select
        application_id,
        level_id,
        level_version,
        player_id,
        attempts,
        completions,
        failures,
        attempts_to_clear,
        is_cleared_at_first_try,
        is_dropped_off
    from {{ ref('int_player_levels') }}
    where {{ filter_changed_keys() }}
),

ordered_clears as (
    select
        application_id,
        level_id,
        level_version,
        attempts_to_clear,
        row_number() over (
            partition by application_id, level_id, level_version
            order by attempts_to_clear
        ) as clear_order,
        count(*) over (
            partition by application_id, level_id, level_version
        ) as clear_count
    from player_levels
    where attempts_to_clear is not null
),

{# The nearest rank of a percentile is the first row that has that share of all rows. #}
clears as (
    select
        application_id,
        level_id,
        level_version,
        count(*) as players_cleared,
        min(case when clear_order * 2 >= clear_count then attempts_to_clear end)
            as median_attempts_to_clear,
        min(case when clear_order * 10 >= clear_count * 9 then attempts_to_clear end)
            as p90_attempts_to_clear
    from ordered_clears
    group by 1, 2, 3
),

summed as (
    select
        application_id,
        level_id,
        level_version,
        sum(case when player_id <> '' then 1 else 0 end) as players,
        sum(case when player_id <> '' and attempts > 0 then 1 else 0 end)
            as players_started,
        sum(attempts) as attempts,
        sum(completions) as completions,
        sum(failures) as failures,
        sum(case when is_cleared_at_first_try then 1 else 0 end) as first_try_players,
        sum(case when is_dropped_off then 1 else 0 end) as drop_off_players
    from player_levels
    group by 1, 2, 3
),

final as (
    select
        summed.application_id,
        summed.level_id,
        summed.level_version,
        cast(summed.players as bigint) as players,
        cast(summed.players_started as bigint) as players_started,
        cast(coalesce(clears.players_cleared, 0) as bigint) as players_cleared,
        cast(summed.attempts as bigint) as attempts,
        cast(summed.completions as bigint) as completions,
        cast(summed.failures as bigint) as failures,
        cast(
            greatest(summed.attempts - summed.completions - summed.failures, 0)
            as bigint
        ) as abandons,
        {{ ratio('summed.completions', 'summed.completions + summed.failures') }}
            as completion_rate,
        {{ ratio('summed.failures', 'summed.completions + summed.failures') }}
            as fail_rate,
        cast(summed.first_try_players as bigint) as first_try_players,
        {{ ratio('summed.first_try_players', 'summed.players') }} as first_try_rate,
        cast(clears.median_attempts_to_clear as bigint) as median_attempts_to_clear,
        cast(clears.p90_attempts_to_clear as bigint) as p90_attempts_to_clear,
        cast(summed.drop_off_players as bigint) as drop_off_players,
        {{ ratio('summed.drop_off_players', 'summed.players_started') }}
            as drop_off_rate
    from summed
    left join clears
        on
            summed.application_id = clears.application_id
            and summed.level_id = clears.level_id
            and summed.level_version = clears.level_version
)

select * from final
