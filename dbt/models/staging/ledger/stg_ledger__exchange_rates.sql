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
        coalesce(
            currency_aliases.currency,
            nullif(upper({{ trimmed('currency_exchange.currency') }}), '')
        ) as currency,
        {{ parsed_amount('currency_exchange.baserateeuro') }} as euro_rate
    from currency_exchange
    left join currency_aliases
        on upper({{ trimmed('currency_exchange.currency') }}) = currency_aliases.alias
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
        and euro_rate > 0
)

select * from final
