{# A rate serves its own day and the three after it; each leg of a cross rate by itself. #}
with exchange_rates as (
    select
        rate_date,
        currency,
        euro_rate
    from {{ ref('stg_ledger__exchange_rates') }}
    where currency <> 'EUR'
),

daily_rates as (
    select
        rate_date,
        currency,
        max(euro_rate) as euro_rate
    from exchange_rates
    group by 1, 2
),

ages as (
    {{ values_as_rows([0, 1, 2, 3], 'age') }}
),

candidates as (
    select
        daily_rates.rate_date + ages.age as rate_date,
        daily_rates.currency,
        daily_rates.euro_rate,
        row_number() over (
            partition by daily_rates.currency, daily_rates.rate_date + ages.age
            order by ages.age
        ) as age_number
    from daily_rates
    cross join ages
),

euro_rates as (
    select
        rate_date,
        currency,
        euro_rate
    from candidates
    where age_number = 1
    union all
    select distinct
        rate_date,
        'EUR' as currency,
        cast(1 as decimal(18, 8)) as euro_rate
    from candidates
),

reporting_rates as (
    select
        rate_date,
        euro_rate
    from euro_rates
    where currency = {{ reporting_currency() }}
),

cross_rates as (
    select
        euro_rates.rate_date,
        euro_rates.currency,
        {{ divided_exactly('euro_rates.euro_rate', 'reporting_rates.euro_rate', 8) }} as rate
    from euro_rates
    inner join reporting_rates
        on euro_rates.rate_date = reporting_rates.rate_date
    where euro_rates.currency <> {{ reporting_currency() }}
),

{# No currency is worth so much of another: such a rate is a mistake, and would overflow. #}
final as (
    select
        rate_date,
        currency,
        cast(rate as decimal(19, 8)) as rate
    from cross_rates
    where rate < 100000000
)

select * from final
