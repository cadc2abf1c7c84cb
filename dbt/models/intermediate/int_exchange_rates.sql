{#
    A rate is used until the next rate of its currency, but for at most seven days after
    its own day, which covers the closing days at Easter and Christmas. The two rates of
    a cross rate may have different ages.
#}
with exchange_rates as (
    select
        rate_date,
        currency,
        euro_rate
    from {{ ref('stg_ledger__exchange_rates') }}
    where is_valid and currency <> 'EUR'
),

daily_rates as (
    select
        rate_date,
        currency,
        max(euro_rate) as euro_rate
    from exchange_rates
    group by 1, 2
),

rate_ages as (
    {{ values_as_rows(range(8), 'age') }}
),

candidate_rates as (
    select
        daily_rates.rate_date + rate_ages.age as rate_date,
        daily_rates.currency,
        daily_rates.euro_rate,
        row_number() over (
            partition by daily_rates.currency, daily_rates.rate_date + rate_ages.age
            order by rate_ages.age
        ) as age_number
    from daily_rates
    cross join rate_ages
),

euro_rates as (
    select
        rate_date,
        currency,
        euro_rate
    from candidate_rates
    where age_number = 1
    union all
    select distinct
        rate_date,
        'EUR' as currency,
        cast(1 as decimal(18, 8)) as euro_rate
    from candidate_rates
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
        {{ divided_exactly('euro_rates.euro_rate', 'reporting_rates.euro_rate', 8) }}
            as rate
    from euro_rates
    inner join reporting_rates
        on euro_rates.rate_date = reporting_rates.rate_date
    where euro_rates.currency <> {{ reporting_currency() }}
),

{# A rate of 10^8 or more is a mistake in the data and would overflow the column. #}
final as (
    select
        rate_date,
        currency,
        cast(rate as decimal(19, 8)) as rate
    from cross_rates
    where rate < 100000000
)

select * from final
