with money_events as (
    select
        application_id,
        event_id,
        event_date,
        event_at,
        event_timestamp,
        event_type,
        player_id,
        transaction_id,
        item_id,
        currency,
        amount
    from {{ ref('int_money_events') }}
    where event_type in ('iap_transaction', 'iap_refund')
),

exchange_rates as (
    select
        rate_date,
        currency,
        rate
    from {{ ref('int_exchange_rates') }}
),

numbered_events as (
    select
        *,
        row_number() over (
            partition by application_id, event_type, transaction_id
            order by event_timestamp, event_id, event_date
        ) as event_number
    from money_events
),

purchases as (
    select
        *,
        row_number() over (
            partition by
                application_id,
                player_id,
                case when amount > 0 then 1 else 0 end
            order by event_timestamp, transaction_id
        ) as purchase_number
    from numbered_events
    where event_type = 'iap_transaction' and event_number = 1
),

refunds as (
    select
        application_id,
        transaction_id,
        event_at
    from numbered_events
    where event_type = 'iap_refund' and event_number = 1
),

final as (
    select
        purchases.application_id,
        purchases.transaction_id,
        purchases.player_id,
        purchases.event_at as purchased_at,
        purchases.event_date as purchase_date,
        purchases.item_id,
        cast(purchases.amount as decimal(18, 8)) as original_amount,
        purchases.currency as original_currency,
        {{ rounded_money(
            to_reporting_currency(
                'purchases.amount', 'purchases.currency', 'exchange_rates.rate'
            )
        ) }} as revenue,
        refunds.event_at as refunded_at,
        cast(refunds.event_at as date) as refund_date,
        coalesce(
            purchases.player_id is not null
            and purchases.amount > 0
            and purchases.purchase_number = 1,
            false
        ) as is_first_purchase
    from purchases
    left join refunds
        on
            purchases.application_id = refunds.application_id
            and purchases.transaction_id = refunds.transaction_id
    left join exchange_rates
        on
            purchases.currency = exchange_rates.currency
            and purchases.event_date = exchange_rates.rate_date
)

select * from final
