with events as (
    select
        application_id,
        event_id,
        event_date,
        event_at,
        event_timestamp,
        event_type,
        player_id,
        amount,
        event_data
    from {{ ref('int_events') }}
    where
        event_type in ('iap_transaction', 'iap_refund', 'ad_impression')
        and {{ on_replaced_days() }}
),

currency_aliases as (
    select
        alias,
        currency
    from {{ ref('currency_aliases') }}
),

extracted as (
    select
        application_id,
        event_id,
        event_date,
        event_at,
        event_timestamp,
        event_type,
        player_id,
        amount,
        coalesce({{ json_text('event_data', 'transaction_id') }}, event_id) as transaction_id,
        {{ json_text('event_data', 'item_id') }} as item_id,
        {{ json_text('event_data', 'currency_type') }} as currency_type
    from events
),

final as (
    select
        extracted.application_id,
        extracted.event_id,
        extracted.event_date,
        extracted.event_at,
        extracted.event_timestamp,
        extracted.event_type,
        extracted.player_id,
        extracted.transaction_id,
        extracted.item_id,
        {{ to_currency_code('extracted.currency_type', 'currency_aliases.currency') }} as currency,
        cast(coalesce(extracted.amount, 0) as decimal(18, 8)) as amount
    from extracted
    left join currency_aliases
        on upper({{ trimmed('extracted.currency_type') }}) = currency_aliases.alias
)

select * from final
