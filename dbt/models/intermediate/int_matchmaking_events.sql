{#
    An outcome may be on the day after the start of its matchmaking, and then counts on
    the day of the start. The end of a match has the names of such a start too. So the
    rows of a day are built from the events of that day and of the days beside it.
#}
with events as (
    select
        application_id,
        event_id,
        event_date,
        event_timestamp,
        event_type,
        player_id,
        match_id,
        match_type,
        map_id,
        match_result,
        reason,
        case when event_type = 'matchmaking_start' then 1 else 0 end as is_start,
        player_id is not null
        and match_id is not null as can_have_start
    from {{ ref('int_gameplay_events') }}
    where
        event_type in (
            'matchmaking_start',
            'matchmaking_complete',
            'matchmaking_failed',
            'match_end'
        )
        and {{ filter_run_days('event_date', before=3, after=3) }}
),

{# An outcome in the second of a start is an outcome of this start. #}
numbered_starts as (
    select
        *,
        sum(is_start) over (
            partition by application_id, player_id, match_id
            order by event_timestamp, is_start desc, event_id
            rows between unbounded preceding and current row
        ) as start_number
    from events
),

events_with_start as (
    select
        *,
        max(case when is_start = 1 then event_date end) over (
            partition by application_id, player_id, match_id, start_number
        ) as start_date,
        max(case when is_start = 1 then event_timestamp end) over (
            partition by application_id, player_id, match_id, start_number
        ) as start_timestamp,
        max(case when is_start = 1 then match_type end) over (
            partition by application_id, player_id, match_id, start_number
        ) as start_match_type,
        max(case when is_start = 1 then map_id end) over (
            partition by application_id, player_id, match_id, start_number
        ) as start_map_id,
        row_number() over (
            partition by
                application_id, player_id, match_id, start_number, event_type
            order by event_timestamp, event_id
        ) as outcome_number
    from numbered_starts
),

{# The end of a match has the names of the start, but counts on its own day. #}
events_with_outcome as (
    select
        *,
        can_have_start
        and start_date is not null
        and start_date >= event_date - 1 as has_named_start,
        can_have_start
        and event_type in ('matchmaking_complete', 'matchmaking_failed')
        and start_date is not null
        and start_date >= event_date - 1 as has_start
    from events_with_start
),

{#
    Only the letters from A to Z have another case here. The engines do not agree on
    other letters, such as a capital I with a dot.
#}
events_with_result as (
    select
        *,
        translate(
            match_result, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'
        ) as result_in_lower_case
    from events_with_outcome
),

final as (
    select
        application_id,
        event_id,
        event_date,
        case when has_start then start_date else event_date end as matchmaking_date,
        event_type,
        match_id,
        coalesce(
            case when has_named_start then start_match_type end, match_type, 'Unknown'
        ) as match_type,
        coalesce(case when has_named_start then start_map_id end, map_id, 'Unknown')
            as map_id,
        case
            when
                has_start
                and event_type = 'matchmaking_complete'
                and outcome_number = 1
                then event_timestamp - start_timestamp
        end as wait_seconds,
        case
            when event_type <> 'match_end' then null
            when result_in_lower_case = 'win' then 'win'
            when result_in_lower_case in ('lose', 'loss') then 'loss'
            when result_in_lower_case in ('quit', 'disconnected') then 'quit'
            else 'other'
        end as match_result,
        case
            when event_type = 'matchmaking_failed' then coalesce(reason, 'Unknown')
        end as failure_reason
    from events_with_result
)

select * from final
where {{ filter_replaced_days() }}
