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

parsed as (
    select
        {{ parsed_date('marketing_spend.date') }} as spend_date,
        coalesce(
            nullif({{ trimmed('marketing_spend.acquisition_channel') }}, ''), 'Unknown'
        ) as acquisition_channel,
        nullif({{ trimmed('marketing_spend.campaign_id') }}, '') as campaign_id,
        {{ to_currency_code('marketing_spend.currency', 'currency_aliases.currency') }}
            as currency,
        {{ parsed_amount('marketing_spend.amount') }} as amount,
        {{ json_row(
            'marketing_spend',
            columns=[
                'date', 'acquisition_channel', 'campaign_id', 'currency', 'amount'
            ],
            personal=[]
        ) }} as payload
    from marketing_spend
    left join currency_aliases
        on upper({{ trimmed('marketing_spend.currency') }}) = currency_aliases.alias
),

final as (
    select
        *,
        case
            when spend_date is null then 'date_not_readable'
            when amount is null then 'amount_not_readable'
        end as mismatch_reason
    from parsed
)

select * from final
