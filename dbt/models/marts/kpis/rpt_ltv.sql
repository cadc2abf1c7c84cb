with players as (
    select
        application_id,
        player_id,
        first_seen_date as cohort_date,
        coalesce(acquisition_channel, 'Unknown') as acquisition_channel
    from {{ ref('dim_players') }}
    where first_seen_date is not null
),

player_days as (
    select
        application_id,
        player_id,
        activity_date,
        revenue
    from {{ ref('fct_player_days') }}
    where revenue <> 0
),

as_of_days as (
    select distinct
        application_id,
        as_of_date
    from {{ ref('int_application_days') }}
),

spend as (
    select
        spend_date,
        acquisition_channel,
        amount
    from {{ ref('int_marketing_spend') }}
),

cohort_ages as (
    {{ values_as_rows(ltv_ages(), 'age_days') }}
),

cohorts as (
    select
        players.application_id,
        players.cohort_date,
        players.acquisition_channel,
        as_of_days.as_of_date,
        count(*) as cohort_size
    from players
    inner join as_of_days
        on
            players.application_id = as_of_days.application_id
            and players.cohort_date <= as_of_days.as_of_date
    group by 1, 2, 3, 4
),

installs as (
    select
        cohort_date,
        acquisition_channel,
        sum(cohort_size) as install_count
    from cohorts
    group by 1, 2
),

revenue_days as (
    select
        players.application_id,
        players.cohort_date,
        players.acquisition_channel,
        player_days.activity_date,
        sum(player_days.revenue) as revenue
    from players
    inner join player_days
        on
            players.application_id = player_days.application_id
            and players.player_id = player_days.player_id
            {#
                A refund does not count as activity, so it may be older than the cohort.
                Revenue counts from day 0 of the cohort on.
            #}
            and players.cohort_date <= player_days.activity_date
    group by 1, 2, 3, 4
),

{#
    Marketing spend names no application, so the cohorts of its day and channel share it
    in proportion to their installs.
#}
cohort_spend as (
    select
        cohorts.application_id,
        cohorts.cohort_date,
        cohorts.acquisition_channel,
        cohorts.as_of_date,
        cohorts.cohort_size,
        cast(
            {{ divided_exactly(
                'spend.amount * cohorts.cohort_size', 'installs.install_count', 4
            ) }}
            as decimal(18, 4)
        ) as spend
    from cohorts
    inner join installs
        on
            cohorts.cohort_date = installs.cohort_date
            and cohorts.acquisition_channel = installs.acquisition_channel
    left join spend
        on
            cohorts.cohort_date = spend.spend_date
            and cohorts.acquisition_channel = spend.acquisition_channel
),

cohort_revenue as (
    select
        cohort_spend.application_id,
        cohort_spend.cohort_date,
        cohort_spend.acquisition_channel,
        cohort_ages.age_days,
        cohort_spend.cohort_size,
        cohort_spend.spend,
        cohort_spend.cohort_date + cast(cohort_ages.age_days as integer)
        <= cohort_spend.as_of_date as is_mature,
        sum(revenue_days.revenue) as revenue
    from cohort_spend
    cross join cohort_ages
    left join revenue_days
        on
            cohort_spend.application_id = revenue_days.application_id
            and cohort_spend.cohort_date = revenue_days.cohort_date
            and cohort_spend.acquisition_channel = revenue_days.acquisition_channel
            and revenue_days.activity_date
            <= cohort_spend.cohort_date + cast(cohort_ages.age_days as integer)
            and revenue_days.activity_date <= cohort_spend.as_of_date
    group by 1, 2, 3, 4, 5, 6, 7
),

typed as (
    select
        application_id,
        cohort_date,
        acquisition_channel,
        cast(age_days as integer) as age_days,
        cast(cohort_size as bigint) as cohort_size,
        cast(coalesce(revenue, 0) as decimal(18, 4)) as cumulative_revenue,
        spend,
        is_mature
    from cohort_revenue
),

final as (
    select
        application_id,
        cohort_date,
        acquisition_channel,
        age_days,
        cohort_size,
        cumulative_revenue,
        {{- ltv_columns('is_mature') }},
        is_mature
    from typed
)

select * from final
