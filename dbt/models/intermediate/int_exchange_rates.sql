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
        cast(1 as decimal(32, 20)) as euro_rate
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
        {{ whole_number('euro_rates.euro_rate') }} as dividend,
        {{ whole_number('reporting_rates.euro_rate') }} as divisor
    from euro_rates
    inner join reporting_rates
        on euro_rates.rate_date = reporting_rates.rate_date
    where
        euro_rates.currency <> {{ reporting_currency() }}
        {# A rate of 10^12 or more is a mistake, and would overflow the column. #}
        and cast(euro_rates.euro_rate as double precision)
        / cast(reporting_rates.euro_rate as double precision) < 999999999999
        and reporting_rates.euro_rate < 100000000
),

{#
    Long division: each step divides the remainder of the step before, times 10^8. It
    gives 24 decimals and cuts off the others.
#}
division_0 as (
    select
        *,
        {{ whole_quotient('dividend', 'divisor') }} as quotient_0,
        mod(dividend, divisor) as remainder_0
    from cross_rates
),

{% for step in [1, 2, 3] -%}
    division_{{ step }} as (
        select
            *,
            {{ whole_quotient('dividend_' ~ step, 'divisor') }} as quotient_{{ step }},
            mod(dividend_{{ step }}, divisor) as remainder_{{ step }}
        from (
            select
                *,
                {{ whole_product('remainder_' ~ (step - 1), 100000000) }}
                    as dividend_{{ step }}
            from division_{{ step - 1 }}
        ) as steps
    ),

{% endfor -%}

exact_rates as (
    select
        rate_date,
        currency,
        cast(
            cast(quotient_0 as decimal(36, 24))
            + cast(
                cast(quotient_1 as decimal(8, 0)) * cast(0.00000001 as decimal(9, 8))
                as decimal(36, 24)
            )
            as decimal(36, 24)
        ) as whole_part,
        cast(quotient_2 as decimal(8, 0))
        * cast(0.0000000000000001 as decimal(17, 16)) as middle_part,
        cast(quotient_3 as decimal(8, 0))
        * cast(0.000000000000000000000001 as decimal(25, 24)) as last_part
    from division_3
),

summed_rates as (
    select
        rate_date,
        currency,
        cast(
            whole_part + cast(middle_part + last_part as decimal(34, 24))
            as decimal(36, 24)
        ) as rate
    from exact_rates
),

rounded_rates as (
    select
        rate_date,
        currency,
        {{ rounded_rate('rate') }} as rate
    from summed_rates
),

final as (
    select
        rate_date,
        currency,
        cast(rate as decimal(32, 20)) as rate
    from rounded_rates
    where rate > 0
)

select * from final
