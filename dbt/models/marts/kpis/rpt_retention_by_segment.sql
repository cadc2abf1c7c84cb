with lifetimes as (
    select
        application_id,
        player_id,
        cohort_date,
        first_return_age,
        last_active_age,
        {% for day_n in retention_days() -%}
            is_active_on_{{ day_n }},
        {% endfor -%}
        days_in_a_row
    from {{ ref('int_player_lifetimes') }}
),

first_values as (
    select
        application_id,
        player_id,
        first_platform,
        first_country_id,
        acquisition_channel,
        campaign_id
    from {{ ref('dim_players') }}
),

as_of_days as (
    select
        application_id,
        max(activity_date) as as_of_date
    from {{ ref('int_application_days') }}
    group by 1
),

day_numbers as (
    {{ values_as_rows(retention_days(), 'day_n') }}
),

cohort_players as (
    select
        lifetimes.*,
        coalesce(first_values.first_platform, 'Unknown') as platform,
        coalesce(first_values.first_country_id, 'Unknown') as country,
        coalesce(first_values.acquisition_channel, 'Unknown') as acquisition_channel,
        coalesce(first_values.campaign_id, 'Unknown') as campaign_id
    from lifetimes
    inner join first_values
        on
            lifetimes.application_id = first_values.application_id
            and lifetimes.player_id = first_values.player_id
),

players as (
    {% for segment in cohort_segments() -%}
        select
            *,
            '{{ segment }}' as segment_name,
            {{ segment }} as segment_value
        from cohort_players
        {{ "union all" if not loop.last }}
    {% endfor %}
),

cohort_counts as (
    select
        players.application_id,
        players.cohort_date,
        players.segment_name,
        players.segment_value,
        day_numbers.day_n,
        {{ retained_player_counts() }}
    from players
    cross join day_numbers
    group by 1, 2, 3, 4, 5
),

typed as (
    select
        cohort_counts.application_id,
        cohort_counts.cohort_date,
        cast(cohort_counts.segment_name as varchar(1024)) as segment_name,
        cast(cohort_counts.segment_value as varchar(1024)) as segment_value,
        cast(cohort_counts.day_n as integer) as day_n,
        cast(cohort_counts.cohort_size as bigint) as cohort_size,
        {{ is_mature(
            'cohort_counts.cohort_date', 'cohort_counts.day_n', 'as_of_days.as_of_date'
        ) }} as is_mature,
        cast(cohort_counts.classic_players as bigint) as classic_players,
        cast(cohort_counts.rolling_players as bigint) as rolling_players,
        cast(cohort_counts.return_players as bigint) as return_players,
        cast(cohort_counts.full_players as bigint) as full_players
    from cohort_counts
    inner join as_of_days
        on cohort_counts.application_id = as_of_days.application_id
),

final as (
    select
        application_id,
        cohort_date,
        segment_name,
        segment_value,
        day_n,
        cohort_size,
        is_mature,
        {{- retention_columns('is_mature') }}
    from typed
)

select * from final
