{#
    The refunds of a purchase are added up by time, each at the exchange rate of its own
    day. From the refund on that returns the rest of the original amount, the sum is the
    purchase's revenue, so nothing remains of a purchase that is refunded in whole.
#}
with refund_events as (
    select
        application_id,
        event_id,
        event_date,
        event_at,
        event_timestamp,
        player_id,
        transaction_id,
        currency,
        named_currency,
        case
            when event_type = 'iap_refund' then abs(refund_amount)
            else abs(amount)
        end as amount
    from {{ ref('int_money_events') }}
    where
        (
            event_type = 'iap_refund'
            or (event_type = 'iap_transaction' and amount < 0)
        )
        and {{ filter_changed_keys() }}
),

purchases as (
    select
        application_id,
        transaction_id,
        player_id,
        original_amount,
        original_currency,
        revenue
    from {{ ref('int_purchases') }}
    where {{ filter_changed_keys() }}
),

exchange_rates as (
    select
        rate_date,
        currency,
        rate
    from {{ ref('int_exchange_rates') }}
),

refunds as (
    select
        refund_events.application_id,
        refund_events.event_id,
        refund_events.event_date,
        refund_events.event_at,
        refund_events.event_timestamp,
        refund_events.transaction_id,
        refund_events.amount,
        purchases.original_amount,
        purchases.original_currency,
        purchases.revenue,
        purchases.transaction_id is not null as is_known_transaction,
        case
            when purchases.transaction_id is not null then purchases.player_id
            else refund_events.player_id
        end as player_id,
        coalesce(
            refund_events.named_currency,
            purchases.original_currency,
            refund_events.currency
        ) as currency
    from refund_events
    left join purchases
        on
            refund_events.application_id = purchases.application_id
            and refund_events.transaction_id = purchases.transaction_id
),

converted_refunds as (
    select
        refunds.*,
        {{ rounded_money(
            to_reporting_currency(
                'refunds.amount', 'refunds.currency', 'exchange_rates.rate'
            )
        ) }} as converted_amount,
        case
            when refunds.currency = refunds.original_currency then refunds.amount
        end as amount_in_original_currency
    from refunds
    left join exchange_rates
        on
            refunds.currency = exchange_rates.currency
            and refunds.event_date = exchange_rates.rate_date
),

{%- set until_now %}
            partition by application_id, transaction_id
            order by event_timestamp, event_id, event_date
            rows unbounded preceding
{%- endset %}

running_refunds as (
    select
        *,
        coalesce(cast(sum(amount_in_original_currency) over (
            {{- until_now }}
        ) as decimal(28, 8)), 0) as running_amount,
        coalesce({{ rounded_money(
            'sum(converted_amount) over (' ~ until_now ~ ')'
        ) }}, 0) as running_converted_amount,
        max(case when amount is null then 1 else 0 end) over (
            {{- until_now }}
        ) as has_refund_of_rest,
        max(case when currency <> original_currency then 1 else 0 end) over (
            {{- until_now }}
        ) as has_other_currency
    from converted_refunds
),

measured_refunds as (
    select
        *,
        has_refund_of_rest = 1 or running_amount >= original_amount as is_whole,
        cast(
            case
                when has_refund_of_rest = 1 or running_amount >= original_amount
                    then revenue
                when running_converted_amount < revenue then running_converted_amount
                else revenue
            end as decimal(18, 4)
        ) as running_refunded_revenue
    from running_refunds
),

compared_refunds as (
    select
        *,
        coalesce(
            lag(running_refunded_revenue) over (
                partition by application_id, transaction_id
                order by event_timestamp, event_id, event_date
            ),
            0
        ) as refunded_revenue_before,
        lag(case when is_whole then 1 else 0 end) over (
            partition by application_id, transaction_id
            order by event_timestamp, event_id, event_date
        ) as was_whole_before
    from measured_refunds
),

final as (
    select
        application_id,
        event_id,
        event_date as refund_date,
        event_at as refunded_at,
        transaction_id,
        player_id,
        amount,
        currency,
        is_known_transaction,
        coalesce(
            is_known_transaction
            and amount > 0
            and (
                was_whole_before = 1
                or running_amount > original_amount
                or (has_other_currency = 1 and running_converted_amount > revenue)
            ),
            false
        ) as is_excess,
        coalesce(
            amount > 0
            and converted_amount is null
            and (not is_known_transaction or not is_whole),
            false
        ) as is_rate_missing,
        cast(
            case
                when not is_known_transaction and amount is null then 0
                when not is_known_transaction then converted_amount
                when amount > 0 and converted_amount is null and not is_whole then null
                else running_refunded_revenue - refunded_revenue_before
            end as decimal(18, 4)
        ) as refunded_revenue
    from compared_refunds
)

select * from final
