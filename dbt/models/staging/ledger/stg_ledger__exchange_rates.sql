with currency_exchange as (
    select
        date,
        currency,
        baserateeuro,
        file_name,
        line_number,
        problem,
        raw_row
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
            upper({{ known_text('currency_exchange.currency') }})
        ) as currency,
        {{ parsed_amount(
            'currency_exchange.baserateeuro', precision=32, scale=20
        ) }} as euro_rate,
        {{ is_ambiguous_amount('currency_exchange.baserateeuro') }}
            as is_rate_ambiguous,
        currency_exchange.file_name as source_file,
        currency_exchange.line_number,
        currency_exchange.problem,
        coalesce(
            {{ masked_text('currency_exchange.raw_row') }},
            {{ json_row(
                'currency_exchange',
                columns=['date', 'currency', 'baserateeuro'],
                personal=[]
            ) }}
        ) as payload
    from currency_exchange
    left join currency_aliases
        on upper({{ trimmed('currency_exchange.currency') }}) = currency_aliases.alias
),

checked as (
    select
        *,
        case
            when problem is not null then problem
            when rate_date is null then 'date_not_readable'
            when currency is null then 'missing_currency'
            when is_rate_ambiguous then 'ambiguous_amount'
            when euro_rate is null then 'rate_not_readable'
            when euro_rate <= 0 then 'rate_not_positive'
        end as mismatch_reason
    from parsed
),

final as (
    select
        rate_date,
        currency,
        euro_rate,
        source_file,
        line_number,
        payload,
        mismatch_reason,
        mismatch_reason is null as is_valid
    from checked
)

select * from final
