with money_events as (
    select
        application_id,
        event_id,
        event_date,
        event_at,
        event_timestamp,
        player_id,
        transaction_id,
        item_id,
        currency,
        amount
    from {{ ref('int_money_events') }}
    where
        event_type = 'iap_transaction'
        and amount >= 0
        and {{ filter_changed_keys() }}
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
            partition by application_id, transaction_id
            order by event_timestamp, event_id, event_date
        ) as event_number
    from money_events
),

final as (
    select
        purchases.application_id,
        purchases.transaction_id,
        purchases.event_id,
        purchases.player_id,
        purchases.event_timestamp as purchase_timestamp,
        purchases.event_at as purchased_at,
        purchases.event_date as purchase_date,
        purchases.item_id,
        purchases.amount as original_amount,
        purchases.currency as original_currency,
        {{ rounded_money(
            to_reporting_currency(
                'purchases.amount', 'purchases.currency', 'exchange_rates.rate'
            )
        ) }} as revenue
    from numbered_events as purchases
    left join exchange_rates
        on
            purchases.currency = exchange_rates.currency
            and purchases.event_date = exchange_rates.rate_date
    where purchases.event_number = 1
)

select * from final
