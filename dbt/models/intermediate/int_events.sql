{#
    The player of an event may be known only on the day before or after it. So a run
    replaces the neighbours of its days as well, and reads one more day on each side.
#}
with event_types as (
    select
        event_type,
        counts_as_activity
    from {{ ref('event_types') }}
),

repeated_ids as (
    select
        application_id,
        event_id,
        event_date
    from {{ ref('stg_game_events') }}
    where
        is_valid
        and {{ filter_run_days('partition_date', before=2, after=2) }}
    group by 1, 2, 3
    having count(*) > 1
),

{#
    Only repeated events are sorted, and these are few. To sort all events took half of
    the time of a full build.
#}
repeated_events as (
    select
        landed_events.*,
        row_number() over (
            partition by
                landed_events.application_id,
                landed_events.event_id,
                landed_events.event_date
            order by
                landed_events.arrival_timestamp,
                landed_events.event_timestamp,
                md5(coalesce(landed_events.event_data, '')),
                landed_events.event_type,
                coalesce(landed_events.event_name, ''),
                coalesce(landed_events.app_version, ''),
                coalesce(landed_events.event_version, '')
        ) as arrival_number
    from {{ ref('stg_game_events') }} as landed_events
    inner join repeated_ids
        on
            landed_events.application_id = repeated_ids.application_id
            and landed_events.event_id = repeated_ids.event_id
            and landed_events.event_date = repeated_ids.event_date
    where
        landed_events.is_valid
        and {{ filter_run_days('landed_events.partition_date', before=2, after=2) }}
),

{#
    Each CTE reads the events for itself with the columns that it needs. DuckDB would
    hold all rows of one common CTE, with the JSON text of every event.
#}
first_arrivals as (
    select
        landed_events.*,
        cast(1 as bigint) as arrival_number
    from {{ ref('stg_game_events') }} as landed_events
    left join repeated_ids
        on
            landed_events.application_id = repeated_ids.application_id
            and landed_events.event_id = repeated_ids.event_id
            and landed_events.event_date = repeated_ids.event_date
    where
        landed_events.is_valid
        and repeated_ids.event_id is null
        and {{ filter_run_days('landed_events.partition_date', before=2, after=2) }}
    union all
    select *
    from repeated_events
    where arrival_number = 1
),

unnamed_sessions as (
    select distinct
        application_id,
        session_id
    from {{ ref('stg_game_events') }}
    where
        is_valid
        and player_id is null
        and session_id is not null
        and {{ filter_run_days('partition_date', before=2, after=2) }}
),

events_of_sessions as (
    select
        session_events.application_id,
        session_events.session_id,
        session_events.event_date,
        session_events.player_id,
        session_events.event_timestamp,
        session_events.event_id
    from {{ ref('stg_game_events') }} as session_events
    inner join unnamed_sessions
        on
            session_events.application_id = unnamed_sessions.application_id
            and session_events.session_id = unnamed_sessions.session_id
    left join repeated_ids
        on
            session_events.application_id = repeated_ids.application_id
            and session_events.event_id = repeated_ids.event_id
            and session_events.event_date = repeated_ids.event_date
    where
        session_events.is_valid
        and repeated_ids.event_id is null
        and {{ filter_run_days('session_events.partition_date', before=2, after=2) }}
    union all
    select
        application_id,
        session_id,
        event_date,
        player_id,
        event_timestamp,
        event_id
    from repeated_events
    where
        arrival_number = 1
        and session_id is not null
),

sessions_without_player as (
    select distinct
        application_id,
        session_id,
        event_date
    from events_of_sessions
    where player_id is null
),

players_of_sessions as (
    select
        application_id,
        session_id,
        event_date,
        player_id,
        event_timestamp,
        event_id
    from events_of_sessions
    where player_id is not null
),

nearby_players as (
    select
        sessions_without_player.application_id,
        sessions_without_player.session_id,
        sessions_without_player.event_date,
        players_of_sessions.player_id,
        row_number() over (
            partition by
                sessions_without_player.application_id,
                sessions_without_player.session_id,
                sessions_without_player.event_date
            order by players_of_sessions.event_timestamp, players_of_sessions.event_id
        ) as player_number
    from sessions_without_player
    inner join players_of_sessions
        on
            sessions_without_player.application_id = players_of_sessions.application_id
            and sessions_without_player.session_id = players_of_sessions.session_id
            and players_of_sessions.event_date
            between sessions_without_player.event_date - 1
            and sessions_without_player.event_date + 1
),

final as (
    select
        first_arrivals.application_id,
        first_arrivals.event_id,
        first_arrivals.event_date,
        first_arrivals.event_at,
        first_arrivals.event_timestamp,
        first_arrivals.event_type,
        first_arrivals.event_name,
        first_arrivals.event_version,
        first_arrivals.app_version,
        coalesce(first_arrivals.player_id, nearby_players.player_id) as player_id,
        first_arrivals.session_id,
        first_arrivals.device_id,
        first_arrivals.platform,
        first_arrivals.country_id,
        first_arrivals.acquisition_channel,
        first_arrivals.campaign_id,
        first_arrivals.amount,
        first_arrivals.transaction_id,
        first_arrivals.item_id,
        first_arrivals.currency_type,
        first_arrivals.level_id,
        first_arrivals.level_version,
        first_arrivals.tutorial_screen_id,
        first_arrivals.match_id,
        first_arrivals.match_type,
        first_arrivals.map_id,
        first_arrivals.match_result,
        first_arrivals.reason,
        first_arrivals.measured_value,
        first_arrivals.game_currency,
        first_arrivals.direction,
        first_arrivals.experiment_id,
        first_arrivals.variant,
        first_arrivals.placement,
        first_arrivals.is_fatal,
        coalesce(event_types.counts_as_activity, true) as counts_as_activity,
        event_types.event_type is not null as is_known_type,
        {{ epoch_to_timestamp('first_arrivals.arrival_timestamp') }} as arrived_at
    from first_arrivals
    left join event_types
        on first_arrivals.event_type = event_types.event_type
    left join nearby_players
        on
            first_arrivals.application_id = nearby_players.application_id
            and first_arrivals.session_id = nearby_players.session_id
            and first_arrivals.event_date = nearby_players.event_date
            and nearby_players.player_number = 1
)

select * from final
where {{ filter_replaced_days() }}
