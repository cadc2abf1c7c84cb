with lifetimes as (
    select
        application_id,
        player_id,
        {% for age in ltv_ages() -%}
            revenue_{{ age }},
        {% endfor -%}
        cohort_date
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

channel_spend as (
    select
        spend_date,
        acquisition_channel,
        amount
    from {{ ref('int_marketing_spend') }}
),

{# Spend that names no campaign is not spend on the players without a campaign. #}
campaign_spend as (
    select
        spend_date,
        campaign_id,
        {{ rounded_money('sum(amount)') }} as amount
    from {{ ref('int_campaign_spend') }}
    where campaign_id <> 'Unknown'
    group by 1, 2
),

cohort_ages as (
    {{ values_as_rows(ltv_ages(), 'age_days') }}
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

cohorts as (
    select
        application_id,
        cohort_date,
        segment_name,
        segment_value,
        {% for age in ltv_ages() -%}
            sum(revenue_{{ age }}) as revenue_{{ age }},
        {% endfor -%}
        count(*) as cohort_size
    from players
    group by 1, 2, 3, 4
),

installs as (
    select
        cohort_date,
        segment_name,
        segment_value,
        sum(cohort_size) as install_count
    from cohorts
    group by 1, 2, 3
),

spend as (
    select
        spend_date,
        'acquisition_channel' as segment_name,
        acquisition_channel as segment_value,
        amount
    from channel_spend
    union all
    select
        spend_date,
        'campaign_id' as segment_name,
        campaign_id as segment_value,
        amount
    from campaign_spend
),

cohort_spend as (
    select
        cohorts.application_id,
        cohorts.cohort_date,
        cohorts.segment_name,
        cohorts.segment_value,
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
            and cohorts.segment_name = installs.segment_name
            and cohorts.segment_value = installs.segment_value
    left join spend
        on
            cohorts.cohort_date = spend.spend_date
            and cohorts.segment_name = spend.segment_name
            and cohorts.segment_value = spend.segment_value
),

cohort_revenue as (
    select
        cohort_spend.application_id,
        cohort_spend.cohort_date,
        cohort_spend.segment_name,
        cohort_spend.segment_value,
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
        cast(segment_name as varchar(1024)) as segment_name,
        cast(segment_value as varchar(1024)) as segment_value,
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
        segment_name,
        segment_value,
        age_days,
        cohort_size,
        cumulative_revenue,
        {{- ltv_columns('is_mature') }},
        is_mature
    from typed
)

select * from final
