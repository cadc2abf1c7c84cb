{#
    A session has events of two days at most (see the description of session_id). So the
    sessions of a day are built from the events of that day, of the two days before it
    and of the day after it.
#}
with events as (
    select
        application_id,
        player_id,
        session_id,
        event_id,
        event_date,
        event_timestamp
    from {{ ref('int_events') }}
    where
        player_id is not null
        and {{ filter_run_days('event_date', before=4, after=4) }}
),

events_with_gaps as (
    select
        *,
        case
            when
                event_timestamp - lag(event_timestamp) over (
                    partition by application_id, player_id
                    order by event_timestamp, event_id
                ) <= 1800
                then 0
            else 1
        end as is_chain_start
    from events
    where session_id is null
),

events_with_chains as (
    select
        *,
        cast(sum(is_chain_start) over (
            partition by application_id, player_id
            order by event_timestamp, event_id
            rows between unbounded preceding and current row
        ) as varchar(20)) as chain_number
    from events_with_gaps
),

session_days as (
    select
        application_id,
        player_id,
        true as is_explicit,
        session_id as session_key,
        event_date,
        min(event_timestamp) as first_timestamp,
        max(event_timestamp) as last_timestamp,
        count(*) as event_count
    from events
    where session_id is not null
    group by 1, 2, 3, 4, 5
    union all
    select
        application_id,
        player_id,
        false as is_explicit,
        chain_number as session_key,
        event_date,
        min(event_timestamp) as first_timestamp,
        max(event_timestamp) as last_timestamp,
        count(*) as event_count
    from events_with_chains
    group by 1, 2, 3, 4, 5
),

session_days_with_neighbours as (
    select
        *,
        coalesce(
            lag(event_date, 1) over (
                partition by application_id, player_id, is_explicit, session_key
                order by event_date
            ) = event_date - 1,
            false
        ) as is_on_day_before,
        coalesce(
            lag(event_date, 2) over (
                partition by application_id, player_id, is_explicit, session_key
                order by event_date
            ) = event_date - 2,
            false
        ) as is_on_second_day_before
    from session_days
),

dated_session_days as (
    select
        *,
        case
            when is_on_day_before and not is_on_second_day_before then event_date - 1
            else event_date
        end as session_date,
        is_on_day_before and is_on_second_day_before as is_cut_at_midnight
    from session_days_with_neighbours
),

sessions as (
    select
        application_id,
        player_id,
        is_explicit,
        session_key,
        session_date,
        bool_or(is_cut_at_midnight) as is_cut_at_midnight,
        min(first_timestamp) as first_timestamp,
        max(last_timestamp) as last_timestamp,
        sum(event_count) as event_count
    from dated_session_days
    group by 1, 2, 3, 4, 5
),

named_sessions as (
    select
        *,
        case
            when not is_explicit then 'gap:' || cast(first_timestamp as varchar(20))
            when is_cut_at_midnight
                then session_key || ':' || cast(session_date as varchar(10))
            else {{ explicit_session_id('session_key') }}
        end as session_id
    from sessions
),

final as (
    select
        {{ row_key([
            'application_id',
            'player_id',
            'session_id',
            'cast(session_date as varchar(10))'
        ]) }} as session_key,
        application_id,
        player_id,
        session_id,
        session_date,
        {{ epoch_to_timestamp('first_timestamp') }} as started_at,
        {{ epoch_to_timestamp('last_timestamp') }} as ended_at,
        last_timestamp - first_timestamp as duration_seconds,
        cast(event_count as bigint) as event_count,
        is_explicit
    from named_sessions
)

select * from final
where {{ filter_replaced_days() }}
