with events as (
    select
        application_id,
        event_date,
        event_timestamp,
        player_id,
        experiment_id,
        variant
    from {{ ref('int_gameplay_events') }}
    where
        event_type = 'experiment_exposure'
        and player_id is not null
        and experiment_id is not null
        and variant is not null
        and {{ filter_replaced_days('event_date') }}
),

final as (
    select
        application_id,
        experiment_id,
        player_id,
        variant,
        event_date as exposure_date,
        min(event_timestamp) as first_exposure_timestamp
    from events
    group by 1, 2, 3, 4, 5
)

select * from final
