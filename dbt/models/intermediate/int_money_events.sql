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
        transaction_id,
        item_id,
        placement,
        currency_type
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

final as (
    select
        events.application_id,
        events.event_id,
        events.event_date,
        events.event_at,
        events.event_timestamp,
        events.event_type,
        events.player_id,
        coalesce(events.transaction_id, events.event_id) as transaction_id,
        events.item_id,
        events.placement,
        {{ to_currency_code(
            'events.currency_type', 'currency_aliases.currency'
        ) }} as currency,
        coalesce(
            currency_aliases.currency,
            nullif(upper({{ trimmed('events.currency_type') }}), '')
        ) as named_currency,
        cast(coalesce(events.amount, 0) as decimal(24, 8)) as amount,
        cast(
            case
                when events.event_type = 'iap_refund'
                    then events.amount
            end as decimal(24, 8)
        ) as refund_amount
    from events
    left join currency_aliases
        on
            upper({{ trimmed('events.currency_type') }})
            = currency_aliases.alias
)

select * from final
