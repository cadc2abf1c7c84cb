{#
    Three numbers per player answer every N for rolling, return and full retention: the
    first and the last active day after the cohort's day, and the number of active days
    in a row from day 1 on. Only classic retention needs to know whether the player was
    active on day N.
#}
with players as (
    select
        application_id,
        player_id,
        first_seen_date as cohort_date
    from {{ ref('dim_players') }}
    where first_seen_date is not null
),

active_days as (
    select
        application_id,
        player_id,
        activity_date
    from {{ ref('fct_player_days') }}
    where is_active
),

as_of_days as (
    select distinct
        application_id,
        as_of_date
    from {{ ref('int_application_days') }}
),

day_numbers as (
    {{ values_as_rows(retention_days(), 'day_n') }}
),

cohort_players as (
    select
        players.application_id,
        players.player_id,
        players.cohort_date,
        as_of_days.as_of_date
    from players
    inner join as_of_days
        on
            players.application_id = as_of_days.application_id
            and players.cohort_date <= as_of_days.as_of_date
),

later_days as (
    select
        cohort_players.application_id,
        cohort_players.player_id,
        active_days.activity_date - cohort_players.cohort_date as age_days,
        row_number() over (
            partition by cohort_players.application_id, cohort_players.player_id
            order by active_days.activity_date
        ) as day_order
    from cohort_players
    inner join active_days
        on
            cohort_players.application_id = active_days.application_id
            and cohort_players.player_id = active_days.player_id
            and active_days.activity_date > cohort_players.cohort_date
            and active_days.activity_date <= cohort_players.as_of_date
),

active_spans as (
    select
        application_id,
        player_id,
        min(age_days) as first_age,
        max(age_days) as last_age,
        {% for day_n in retention_days() -%}
            max(case when age_days = {{ day_n }} then 1 else 0 end)
                as is_active_on_{{ day_n }},
        {% endfor -%}
        sum(case when age_days = day_order then 1 else 0 end) as days_in_a_row
    from later_days
    group by 1, 2
),

cohort_counts as (
    select
        cohort_players.application_id,
        cohort_players.cohort_date,
        cohort_players.as_of_date,
        day_numbers.day_n,
        count(*) as cohort_size,
        sum(
            case day_numbers.day_n
                {% for day_n in retention_days() -%}
                    when {{ day_n }}
                        then coalesce(active_spans.is_active_on_{{ day_n }}, 0)
                {% endfor %}
            end
        ) as classic_players,
        sum(case when active_spans.last_age >= day_numbers.day_n then 1 else 0 end)
            as rolling_players,
        sum(case when active_spans.first_age <= day_numbers.day_n then 1 else 0 end)
            as return_players,
        sum(case when active_spans.days_in_a_row >= day_numbers.day_n then 1 else 0 end)
            as full_players
    from cohort_players
    cross join day_numbers
    left join active_spans
        on
            cohort_players.application_id = active_spans.application_id
            and cohort_players.player_id = active_spans.player_id
    group by 1, 2, 3, 4
),

typed as (
    select
        application_id,
        cohort_date,
        cast(day_n as integer) as day_n,
        cast(cohort_size as bigint) as cohort_size,
        cohort_date + cast(day_n as integer) <= as_of_date as is_mature,
        cast(classic_players as bigint) as classic_players,
        cast(rolling_players as bigint) as rolling_players,
        cast(return_players as bigint) as return_players,
        cast(full_players as bigint) as full_players
    from cohort_counts
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
