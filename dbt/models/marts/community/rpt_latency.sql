with events as (
    select
        application_id,
        event_date,
        player_id,
        platform,
        country_id,
        case when measured_value >= 0 then measured_value end as milliseconds
    from {{ ref('int_gameplay_events') }}
    where
        event_type = 'client_latency'
        and {{ filter_changed_keys() }}
),

player_days as (
    select
        application_id,
        player_id,
        activity_date,
        platform,
        country_id
    from {{ ref('int_player_days') }}
    where {{ filter_changed_keys(['activity_date']) }}
),

players as (
    select
        application_id,
        player_id,
        first_platform,
        first_country_id
    from {{ ref('dim_players') }}
),

samples as (
    select
        events.application_id,
        coalesce(
            events.platform, player_days.platform, players.first_platform, 'Unknown'
        ) as platform,
        coalesce(
            events.country_id,
            player_days.country_id,
            players.first_country_id,
            'Unknown'
        ) as country,
        events.event_date,
        events.player_id,
        events.milliseconds
    from events
    left join player_days
        on
            events.application_id = player_days.application_id
            and events.player_id = player_days.player_id
            and events.event_date = player_days.activity_date
    left join players
        on
            events.application_id = players.application_id
            and events.player_id = players.player_id
),

sample_counts as (
    select
        application_id,
        platform,
        country,
        event_date,
        count(milliseconds) as sample_count,
        count(*) - count(milliseconds) as invalid_sample_count,
        count(distinct case when milliseconds is not null then player_id end) as players
    from samples
    group by 1, 2, 3, 4
),

ranked_samples as (
    select
        application_id,
        platform,
        country,
        event_date,
        milliseconds,
        row_number() over (
            partition by application_id, platform, country, event_date
            order by milliseconds
        ) as sample_rank
    from samples
    where milliseconds is not null
),

percentiles as (
    select
        ranked_samples.application_id,
        ranked_samples.platform,
        ranked_samples.country,
        ranked_samples.event_date,
        {{ nearest_rank(
            'ranked_samples.milliseconds', 'ranked_samples.sample_rank',
            'sample_counts.sample_count', 50
        ) }} as p50_milliseconds,
        {{ nearest_rank(
            'ranked_samples.milliseconds', 'ranked_samples.sample_rank',
            'sample_counts.sample_count', 95
        ) }} as p95_milliseconds,
        {{ nearest_rank(
            'ranked_samples.milliseconds', 'ranked_samples.sample_rank',
            'sample_counts.sample_count', 99
        ) }} as p99_milliseconds
    from ranked_samples
    inner join sample_counts
        on
            ranked_samples.application_id = sample_counts.application_id
            and ranked_samples.platform = sample_counts.platform
            and ranked_samples.country = sample_counts.country
            and ranked_samples.event_date = sample_counts.event_date
    group by 1, 2, 3, 4
),

final as (
    select
        sample_counts.application_id,
        sample_counts.platform,
        sample_counts.country,
        sample_counts.event_date,
        cast(percentiles.p50_milliseconds as decimal(24, 8)) as p50_milliseconds,
        cast(percentiles.p95_milliseconds as decimal(24, 8)) as p95_milliseconds,
        cast(percentiles.p99_milliseconds as decimal(24, 8)) as p99_milliseconds,
        cast(sample_counts.sample_count as bigint) as sample_count,
        cast(sample_counts.invalid_sample_count as bigint) as invalid_sample_count,
        cast(sample_counts.players as bigint) as players
    from sample_counts
    left join percentiles
        on
            sample_counts.application_id = percentiles.application_id
            and sample_counts.platform = percentiles.platform
            and sample_counts.country = percentiles.country
            and sample_counts.event_date = percentiles.event_date
)

select * from final
