with players as (
    select
        application_id,
        cohort_date,
        {% for age in ltv_ages() -%}
            revenue_{{ age }},
        {% endfor -%}
        acquisition_channel
    from {{ ref('int_player_lifetimes') }}
),

as_of_days as (
    select
        application_id,
        max(activity_date) as as_of_date
    from {{ ref('int_application_days') }}
    group by 1
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
        application_id,
        cohort_date,
        acquisition_channel,
        {% for age in ltv_ages() -%}
            sum(revenue_{{ age }}) as revenue_{{ age }},
        {% endfor -%}
        count(*) as cohort_size
    from players
    group by 1, 2, 3
),

installs as (
    select
        cohort_date,
        acquisition_channel,
        sum(cohort_size) as install_count
    from cohorts
    group by 1, 2
),

cohort_spend as (
    select
        cohorts.application_id,
        cohorts.cohort_date,
        cohorts.acquisition_channel,
        {% for age in ltv_ages() -%}
            cohorts.revenue_{{ age }},
        {% endfor -%}
        cohorts.cohort_size,
        {{ share_of_spend(
            'spend.amount', 'cohorts.cohort_size', 'installs.install_count'
        ) }} as spend
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
        {{ is_mature(
            'cohort_spend.cohort_date', 'cohort_ages.age_days', 'as_of_days.as_of_date'
        ) }} as is_mature,
        {{ revenue_at_age('cohort_ages.age_days', 'cohort_spend') }} as revenue
    from cohort_spend
    inner join as_of_days
        on cohort_spend.application_id = as_of_days.application_id
    cross join cohort_ages
),

typed as (
    select
        application_id,
        cohort_date,
        acquisition_channel,
        cast(age_days as integer) as age_days,
        cast(cohort_size as bigint) as cohort_size,
        cast(revenue as decimal(18, 4)) as cumulative_revenue,
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
