with player_days as (
    select
        application_id,
        player_id,
        activity_date,
        event_count,
        is_active,
        session_count,
        playtime_seconds
    from {{ ref('int_player_days') }}
    where {{ filter_changed_keys() }}
),

purchases as (
    select
        application_id,
        player_id,
        purchase_date,
        original_amount,
        revenue,
        is_first_purchase
    from {{ ref('fct_purchases') }}
    where
        player_id is not null
        and {{ filter_changed_keys(['application_id', 'player_id', 'purchase_date']) }}
),

refunds as (
    select
        application_id,
        player_id,
        refund_date,
        refunded_revenue
    from {{ ref('int_refunds') }}
    where
        player_id is not null
        and {{ filter_changed_keys(['application_id', 'player_id', 'refund_date']) }}
),

ad_impressions as (
    select
        application_id,
        player_id,
        event_date,
        currency,
        amount
    from {{ ref('int_money_events') }}
    where
        event_type = 'ad_impression'
        and player_id is not null
        and {{ filter_changed_keys(['application_id', 'player_id', 'event_date']) }}
),

exchange_rates as (
    select
        rate_date,
        currency,
        rate
    from {{ ref('int_exchange_rates') }}
),

purchase_days as (
    select
        application_id,
        player_id,
        purchase_date as activity_date,
        sum(revenue) as iap_revenue,
        max(case when original_amount > 0 then 1 else 0 end) as has_payment,
        max(case when is_first_purchase then 1 else 0 end) as has_first_payment
    from purchases
    group by 1, 2, 3
),

refund_days as (
    select
        application_id,
        player_id,
        refund_date as activity_date,
        sum(refunded_revenue) as refunds
    from refunds
    group by 1, 2, 3
),

ad_days as (
    select
        ad_impressions.application_id,
        ad_impressions.player_id,
        ad_impressions.event_date as activity_date,
        {{ rounded_money('sum(' ~ to_reporting_currency(
            'ad_impressions.amount', 'ad_impressions.currency', 'exchange_rates.rate'
        ) ~ ')') }} as ad_revenue
    from ad_impressions
    left join exchange_rates
        on
            ad_impressions.currency = exchange_rates.currency
            and ad_impressions.event_date = exchange_rates.rate_date
    group by 1, 2, 3
),

days as (
    select
        application_id,
        player_id,
        activity_date
    from player_days
    union
    select
        application_id,
        player_id,
        activity_date
    from refund_days
),

final as (
    select
        days.application_id,
        days.player_id,
        days.activity_date,
        coalesce(player_days.is_active, false) as is_active,
        coalesce(player_days.event_count, 0) as event_count,
        coalesce(player_days.session_count, 0) as session_count,
        coalesce(player_days.playtime_seconds, 0) as playtime_seconds,
        coalesce(purchase_days.has_payment, 0) = 1 as is_payer,
        coalesce(purchase_days.has_first_payment, 0) = 1 as is_first_time_payer,
        cast(coalesce(purchase_days.iap_revenue, 0) as decimal(18, 4)) as iap_revenue,
        cast(coalesce(ad_days.ad_revenue, 0) as decimal(18, 4)) as ad_revenue,
        cast(coalesce(refund_days.refunds, 0) as decimal(18, 4)) as refunds,
        cast(
            coalesce(purchase_days.iap_revenue, 0)
            + coalesce(ad_days.ad_revenue, 0)
            - coalesce(refund_days.refunds, 0)
            as decimal(18, 4)
        ) as revenue
    from days
    left join player_days
        on
            days.application_id = player_days.application_id
            and days.player_id = player_days.player_id
            and days.activity_date = player_days.activity_date
    left join purchase_days
        on
            days.application_id = purchase_days.application_id
            and days.player_id = purchase_days.player_id
            and days.activity_date = purchase_days.activity_date
    left join refund_days
        on
            days.application_id = refund_days.application_id
            and days.player_id = refund_days.player_id
            and days.activity_date = refund_days.activity_date
    left join ad_days
        on
            days.application_id = ad_days.application_id
            and days.player_id = ad_days.player_id
            and days.activity_date = ad_days.activity_date
)

select * from final
