{%- set event_keys = ['transaction_id', 'item_id', 'currency_type'] -%}

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
        and {{ filter_replaced_days() }}
),

currency_aliases as (
    select
        alias,
        currency
    from {{ ref('currency_aliases') }}
),

events_with_texts as (
    select
        *,
        {{ json_texts('event_data', event_keys) }} as event_texts
    from events
),

events_with_values as (
    select
        *,
        {{ number_of('event_texts', event_keys, 'transaction_id') }}
            as transaction_number,
        {{ text_of('event_texts', event_keys, 'transaction_id') }} as transaction_text,
        {{ text_of('event_texts', event_keys, 'item_id') }} as item_text,
        {{ text_of('event_texts', event_keys, 'currency_type') }} as currency_text
    from events_with_texts
),

events_with_names as (
    select
        *,
        {{ name_in_json('transaction_text', number='transaction_number') }}
            as transaction_name,
        {{ name_in_json('item_text') }} as item_id,
        {{ name_in_json('currency_text') }} as currency_type
    from events_with_values
),

events_with_keys as (
    select
        application_id,
        event_id,
        event_date,
        event_at,
        event_timestamp,
        event_type,
        player_id,
        amount,
        coalesce({{ known_id('transaction_name') }}, event_id) as transaction_id,
        item_id,
        currency_type
    from events_with_names
),

final as (
    select
        events_with_keys.application_id,
        events_with_keys.event_id,
        events_with_keys.event_date,
        events_with_keys.event_at,
        events_with_keys.event_timestamp,
        events_with_keys.event_type,
        events_with_keys.player_id,
        events_with_keys.transaction_id,
        events_with_keys.item_id,
        {{ to_currency_code(
            'events_with_keys.currency_type', 'currency_aliases.currency'
        ) }} as currency,
        coalesce(
            currency_aliases.currency,
            nullif(upper({{ trimmed('events_with_keys.currency_type') }}), '')
        ) as named_currency,
        cast(coalesce(events_with_keys.amount, 0) as decimal(24, 8)) as amount,
        cast(
            case
                when events_with_keys.event_type = 'iap_refund'
                    then events_with_keys.amount
            end as decimal(24, 8)
        ) as refund_amount
    from events_with_keys
    left join currency_aliases
        on
            upper({{ trimmed('events_with_keys.currency_type') }})
            = currency_aliases.alias
)

select * from final
