with events as (
    select
        application_id,
        matchmaking_date,
        event_type,
        match_id,
        match_type,
        map_id,
        wait_seconds,
        match_result
    from {{ ref('int_matchmaking_events') }}
    where {{ filter_changed_keys() }}
),

segment_events as (
    select
        application_id,
        'match_type' as segment_name,
        match_type as segment_value,
        matchmaking_date,
        event_type,
        match_id,
        wait_seconds,
        match_result
    from events
    union all
    select
        application_id,
        'map_id' as segment_name,
        map_id as segment_value,
        matchmaking_date,
        event_type,
        match_id,
        wait_seconds,
        match_result
    from events
),

ordered_waits as (
    select
        application_id,
        segment_name,
        segment_value,
        matchmaking_date,
        wait_seconds,
        row_number() over (
            partition by application_id, segment_name, segment_value, matchmaking_date
            order by wait_seconds
        ) as wait_order,
        count(*) over (
            partition by application_id, segment_name, segment_value, matchmaking_date
        ) as wait_count
    from segment_events
    where wait_seconds is not null
),

{# The nearest rank of a percentile is the first row that has that share of all rows. #}
waits as (
    select
        application_id,
        segment_name,
        segment_value,
        matchmaking_date,
        count(*) as wait_count,
        min(case when wait_order * 2 >= wait_count then wait_seconds end)
            as median_wait_seconds,
        min(case when wait_order * 20 >= wait_count * 19 then wait_seconds end)
            as p95_wait_seconds
    from ordered_waits
    group by 1, 2, 3, 4
),

{# Each player of a match sends its end. An end without an id is a match of its own. #}
counts as (
    select
        application_id,
        segment_name,
        segment_value,
        matchmaking_date,
        sum(case when event_type = 'matchmaking_start' then 1 else 0 end) as starts,
        sum(case when event_type = 'matchmaking_complete' then 1 else 0 end)
            as completions,
        sum(case when event_type = 'matchmaking_failed' then 1 else 0 end) as failures,
        count(distinct case when event_type = 'match_end' then match_id end)
        + sum(
            case when event_type = 'match_end' and match_id is null then 1 else 0 end
        ) as matches_ended,
        count(match_result) as results,
        sum(case when match_result = 'win' then 1 else 0 end) as wins,
        sum(case when match_result = 'loss' then 1 else 0 end) as losses,
        sum(case when match_result = 'quit' then 1 else 0 end) as quits
    from segment_events
    group by 1, 2, 3, 4
),

final as (
    select
        counts.application_id,
        cast(counts.segment_name as varchar(16)) as segment_name,
        counts.segment_value,
        counts.matchmaking_date,
        cast(counts.starts as bigint) as matchmaking_starts,
        cast(counts.completions as bigint) as matchmaking_completions,
        cast(counts.failures as bigint) as matchmaking_failures,
        {{ ratio('counts.completions', 'counts.completions + counts.failures') }}
            as success_rate,
        cast(coalesce(waits.wait_count, 0) as bigint) as wait_count,
        cast(waits.median_wait_seconds as bigint) as median_wait_seconds,
        cast(waits.p95_wait_seconds as bigint) as p95_wait_seconds,
        cast(counts.matches_ended as bigint) as matches_ended,
        cast(counts.results as bigint) as match_results,
        cast(counts.wins as bigint) as wins,
        cast(counts.losses as bigint) as losses,
        {{ ratio('counts.wins', 'counts.wins + counts.losses') }} as win_rate,
        cast(counts.quits as bigint) as quits,
        {{ ratio('counts.quits', 'counts.results') }} as quit_rate
    from counts
    left join waits
        on
            counts.application_id = waits.application_id
            and counts.segment_name = waits.segment_name
            and counts.segment_value = waits.segment_value
            and counts.matchmaking_date = waits.matchmaking_date
)

select * from final
