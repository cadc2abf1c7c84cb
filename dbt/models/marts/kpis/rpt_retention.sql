with players as (
    select
        application_id,
        cohort_date,
        first_return_age,
        last_active_age,
        {% for day_n in retention_days() -%}
            is_active_on_{{ day_n }},
        {% endfor -%}
        days_in_a_row
    from {{ ref('int_player_lifetimes') }}
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

cohort_counts as (
    select
        players.application_id,
        players.cohort_date,
        day_numbers.day_n,
        {{ retained_player_counts() }}
    from players
    cross join day_numbers
    group by 1, 2, 3
),

typed as (
    select
        cohort_counts.application_id,
        cohort_counts.cohort_date,
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
        day_n,
        cohort_size,
        is_mature,
        {{- retention_columns('is_mature') }}
    from typed
)

select * from final
