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
        first_seen_date as cohort_date,
        coalesce(acquisition_channel, 'Unknown') as acquisition_channel
    from {{ ref('dim_players') }}
    where
        first_seen_date is not null
        and {{ filter_changed_keys() }}
),

player_days as (
    select
        application_id,
        player_id,
        activity_date,
        is_active,
        revenue
    from {{ ref('fct_player_days') }}
    where {{ filter_changed_keys() }}
),

as_of_days as (
    select
        application_id,
        max(activity_date) as as_of_date
    from {{ ref('int_application_days') }}
    group by 1
),

cohort_players as (
    select
        players.application_id,
        players.player_id,
        players.cohort_date,
        players.acquisition_channel,
        as_of_days.as_of_date
    from players
    inner join as_of_days
        on
            players.application_id = as_of_days.application_id
            and players.cohort_date <= as_of_days.as_of_date
),

{#
    A refund does not count as activity, so it may be older than the cohort. Revenue
    counts from day 0 of the cohort on.
#}
days_since_cohort as (
    select
        cohort_players.application_id,
        cohort_players.player_id,
        player_days.activity_date - cohort_players.cohort_date as age_days,
        player_days.is_active,
        player_days.revenue
    from cohort_players
    inner join player_days
        on
            cohort_players.application_id = player_days.application_id
            and cohort_players.player_id = player_days.player_id
            and player_days.activity_date >= cohort_players.cohort_date
            and player_days.activity_date <= cohort_players.as_of_date
),

return_days as (
    select
        application_id,
        player_id,
        age_days,
        row_number() over (
            partition by application_id, player_id
            order by age_days
        ) as day_order
    from days_since_cohort
    where is_active and age_days > 0
),

returns as (
    select
        application_id,
        player_id,
        min(age_days) as first_return_age,
        {% for day_n in retention_days() -%}
            max(case when age_days = {{ day_n }} then 1 else 0 end)
                as is_active_on_{{ day_n }},
        {% endfor -%}
        sum(case when age_days = day_order then 1 else 0 end) as days_in_a_row
    from return_days
    group by 1, 2
),

revenues as (
    select
        application_id,
        player_id,
        {% for age in ltv_ages() -%}
            sum(case when age_days <= {{ age }} then revenue else 0 end)
                as revenue_{{ age }},
        {% endfor -%}
        max(case when is_active then age_days else 0 end) as last_active_age
    from days_since_cohort
    group by 1, 2
),

final as (
    select
        cohort_players.application_id,
        cohort_players.player_id,
        cohort_players.cohort_date,
        cohort_players.cohort_date
        + cast(coalesce(revenues.last_active_age, 0) as integer) as last_active_date,
        cast(returns.first_return_age as integer) as first_return_age,
        cast(coalesce(revenues.last_active_age, 0) as integer) as last_active_age,
        cast(coalesce(returns.days_in_a_row, 0) as integer) as days_in_a_row,
        {% for day_n in retention_days() -%}
            coalesce(returns.is_active_on_{{ day_n }} = 1, false)
                as is_active_on_{{ day_n }},
        {% endfor -%}
        {% for age in ltv_ages() -%}
            cast(coalesce(revenues.revenue_{{ age }}, 0) as decimal(18, 4))
                as revenue_{{ age }},
        {% endfor -%}
        cohort_players.acquisition_channel
    from cohort_players
    left join returns
        on
            cohort_players.application_id = returns.application_id
            and cohort_players.player_id = returns.player_id
    left join revenues
        on
            cohort_players.application_id = revenues.application_id
            and cohort_players.player_id = revenues.player_id
)

select * from final
