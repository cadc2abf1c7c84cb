with sessions as (
    select
        application_id,
        player_id,
        session_date,
        app_version,
        error_count,
        fatal_error_count
    from {{ ref('int_session_errors') }}
    where {{ filter_changed_keys() }}
),

{# An event without a player belongs to no session. #}
errors_without_player as (
    select
        application_id,
        event_date,
        coalesce(app_version, 'Unknown') as app_version,
        is_fatal
    from {{ ref('int_gameplay_events') }}
    where
        event_type = 'client_error'
        and player_id is null
        and {{ filter_changed_keys(['event_date']) }}
),

all_rows as (
    select
        application_id,
        app_version,
        session_date,
        player_id,
        1 as session_count,
        error_count,
        fatal_error_count
    from sessions
    union all
    select
        application_id,
        app_version,
        event_date as session_date,
        cast(null as varchar(1024)) as player_id,
        0 as session_count,
        1 as error_count,
        case when is_fatal then 1 else 0 end as fatal_error_count
    from errors_without_player
),

counts as (
    select
        application_id,
        app_version,
        session_date,
        sum(session_count) as session_count,
        sum(
            case when session_count = 1 and fatal_error_count > 0 then 1 else 0 end
        ) as sessions_with_fatal_error,
        count(distinct player_id) as players,
        count(distinct case when fatal_error_count > 0 then player_id end)
            as players_with_fatal_error,
        sum(error_count) as errors,
        sum(fatal_error_count) as fatal_errors
    from all_rows
    group by 1, 2, 3
),

final as (
    select
        application_id,
        app_version,
        session_date,
        cast(session_count as bigint) as session_count,
        cast(sessions_with_fatal_error as bigint) as sessions_with_fatal_error,
        {{ ratio('session_count - sessions_with_fatal_error', 'session_count') }}
            as crash_free_session_rate,
        cast(players as bigint) as players,
        cast(players_with_fatal_error as bigint) as players_with_fatal_error,
        {{ ratio('players - players_with_fatal_error', 'players') }}
            as crash_free_player_rate,
        cast(errors as bigint) as errors,
        cast(fatal_errors as bigint) as fatal_errors
    from counts
)

select * from final
