-- Every amount of marketing spend has installs on its day and channel. Without
-- installs, it belongs to no cohort, and ROAS is higher than it should be.
{{ config(severity='warn') }}

with spend as (
    select
        spend_date,
        acquisition_channel,
        amount
    from {{ ref('int_marketing_spend') }}
),

cohorts as (
    select distinct
        cohort_date,
        acquisition_channel
    from {{ ref('rpt_ltv') }}
)

select
    spend.spend_date,
    spend.acquisition_channel,
    spend.amount
from spend
left join cohorts
    on
        spend.spend_date = cohorts.cohort_date
        and spend.acquisition_channel = cohorts.acquisition_channel
where spend.amount > 0 and cohorts.cohort_date is null
