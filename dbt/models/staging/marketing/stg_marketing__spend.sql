with marketing_spend as (
    select
        date,
        acquisition_channel,
        campaign_id,
        currency,
        amount,
        file_name,
        line_number,
        problem,
        raw_row
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
            {{ known_text('marketing_spend.acquisition_channel') }}, 'Unknown'
        ) as acquisition_channel,
        {{ known_text('marketing_spend.campaign_id') }} as campaign_id,
        {{ to_currency_code(
            known_text('marketing_spend.currency'), 'currency_aliases.currency'
        ) }} as currency,
        {{ parsed_amount('marketing_spend.amount') }} as amount,
        {{ is_ambiguous_amount('marketing_spend.amount') }} as is_amount_ambiguous,
        marketing_spend.file_name as source_file,
        marketing_spend.line_number,
        marketing_spend.problem,
        coalesce(
            {{ masked_text('marketing_spend.raw_row') }},
            {{ json_row(
                'marketing_spend',
                columns=[
                    'date', 'acquisition_channel', 'campaign_id', 'currency', 'amount'
                ],
                personal=[]
            ) }}
        ) as payload
    from marketing_spend
    left join currency_aliases
        on upper({{ trimmed('marketing_spend.currency') }}) = currency_aliases.alias
),

final as (
    select
        spend_date,
        acquisition_channel,
        campaign_id,
        currency,
        amount,
        source_file,
        line_number,
        payload,
        case
            when problem is not null then problem
            when spend_date is null then 'date_not_readable'
            when is_amount_ambiguous then 'ambiguous_amount'
            when amount is null then 'amount_not_readable'
        end as mismatch_reason
    from parsed
)

select * from final
