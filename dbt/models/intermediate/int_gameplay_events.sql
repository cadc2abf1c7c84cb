with events as (
    select
        application_id,
        event_id,
        event_date,
        event_at,
        event_timestamp,
        event_type,
        app_version,
        player_id,
        session_id,
        platform,
        country_id,
        amount,
        level_id,
        level_version,
        tutorial_screen_id,
        match_id,
        match_type,
        map_id,
        match_result,
        reason,
        measured_value,
        game_currency,
        direction,
        experiment_id,
        variant,
        is_fatal
    from {{ ref('int_events') }}
    where
        event_type in (
            'tutorial_progression',
            'level_started',
            'level_completed',
            'level_failed',
            'matchmaking_start',
            'matchmaking_complete',
            'matchmaking_failed',
            'match_start',
            'match_end',
            'user_report',
            'user_sentiment',
            'client_latency',
            'currency_flow',
            'experiment_exposure',
            'client_error'
        )
        and {{ filter_replaced_days() }}
)

select * from events
