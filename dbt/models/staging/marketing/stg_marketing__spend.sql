with marketing_spend as (
    select
        date,
        acquisition_channel,
        campaign_id,
        currency,
        amount
    from {{ source('marketing', 'marketing_spend') }}
),

currency_aliases as (
    select
        alias,
        currency
    from {{ ref('currency_aliases') }}
),

final as (
    select
        {{ parsed_date('marketing_spend.date') }} as spend_date,
        coalesce(
            nullif({{ trimmed('marketing_spend.acquisition_channel') }}, ''), 'Unknown'
        ) as acquisition_channel,
        nullif({{ trimmed('marketing_spend.campaign_id') }}, '') as campaign_id,
        {{ to_currency_code('marketing_spend.currency', 'currency_aliases.currency') }}
            as currency,
        {{ parsed_amount('marketing_spend.amount') }} as amount
    from marketing_spend
    left join currency_aliases
        on upper({{ trimmed('marketing_spend.currency') }}) = currency_aliases.alias
)

select * from final
