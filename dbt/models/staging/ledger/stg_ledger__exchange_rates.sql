with currency_exchange as (
    select
        date,
        currency,
        baserateeuro
    from {{ source('ledger', 'currency_exchange') }}
),

currency_aliases as (
    select
        alias,
        currency
    from {{ ref('currency_aliases') }}
),

parsed as (
    select
        {{ parsed_date('currency_exchange.date') }} as rate_date,
        coalesce(currency_aliases.currency, nullif(upper(trim(currency_exchange.currency)), ''))
            as currency,
        {{ parsed_amount('currency_exchange.baserateeuro') }} as euro_rate
    from currency_exchange
    left join currency_aliases
        on upper(trim(currency_exchange.currency)) = currency_aliases.alias
),

final as (
    select
        rate_date,
        currency,
        euro_rate
    from parsed
    where
        rate_date is not null
        and currency is not null
        {# Outside, a cross rate could leave decimal(19, 8), or a converted amount (18, 4). #}
        and euro_rate between 0.000001 and 9999
)

select * from final
