with purchases as (
    select
        application_id,
        player_id,
        purchase_date,
        original_amount,
        revenue,
        is_first_purchase
    from {{ ref('fct_purchases') }}
    where player_id is not null and {{ filter_changed_keys() }}
),

players as (
    select
        application_id,
        player_id,
        first_seen_date
    from {{ ref('dim_players') }}
),

application_days as (
    select
        application_id,
        activity_date as purchase_date
    from {{ ref('int_application_days') }}
    where {{ filter_changed_keys(['activity_date']) }}
),

purchase_days as (
    select
        application_id,
        purchase_date,
        count(*) as purchases,
        sum(case when original_amount > 0 then 1 else 0 end) as paid_purchases,
        count(distinct case when original_amount > 0 then player_id end) as payers,
        sum(case when is_first_purchase then 1 else 0 end) as first_time_purchases,
        sum(revenue) as revenue,
        sum(case when is_first_purchase then revenue end) as first_time_revenue,
        sum(case when revenue is null then 1 else 0 end) as missing_rate_count
    from purchases
    group by 1, 2
),

first_purchases as (
    select
        purchases.application_id,
        purchases.purchase_date,
        purchases.player_id,
        purchases.purchase_date - players.first_seen_date as days_to_purchase
    from purchases
    inner join players
        on
            purchases.application_id = players.application_id
            and purchases.player_id = players.player_id
            and players.first_seen_date is not null
    where purchases.is_first_purchase
),

ranked_first_purchases as (
    select
        application_id,
        purchase_date,
        days_to_purchase,
        row_number() over (
            partition by application_id, purchase_date
            order by days_to_purchase, player_id
        ) as player_rank,
        count(*) over (
            partition by application_id, purchase_date
        ) as player_count
    from first_purchases
),

{# By nearest rank, the median of n values is the value at rank n / 2, rounded up. #}
medians as (
    select
        application_id,
        purchase_date,
        days_to_purchase as median_days_to_first_purchase
    from ranked_first_purchases
    where 2 * player_rank in (player_count, player_count + 1)
),

counts as (
    select
        application_days.application_id,
        application_days.purchase_date,
        cast(coalesce(purchase_days.purchases, 0) as bigint) as purchases,
        cast(coalesce(purchase_days.paid_purchases, 0) as bigint) as paid_purchases,
        cast(coalesce(purchase_days.payers, 0) as bigint) as payers,
        cast(coalesce(purchase_days.first_time_purchases, 0) as bigint)
            as first_time_purchases,
        cast(coalesce(purchase_days.revenue, 0) as decimal(18, 4)) as revenue,
        cast(coalesce(purchase_days.first_time_revenue, 0) as decimal(18, 4))
            as first_time_revenue,
        cast(coalesce(purchase_days.missing_rate_count, 0) as bigint)
            as missing_rate_count,
        cast(medians.median_days_to_first_purchase as integer)
            as median_days_to_first_purchase
    from application_days
    left join purchase_days
        on
            application_days.application_id = purchase_days.application_id
            and application_days.purchase_date = purchase_days.purchase_date
    left join medians
        on
            application_days.application_id = medians.application_id
            and application_days.purchase_date = medians.purchase_date
),

final as (
    select
        application_id,
        purchase_date,
        purchases,
        paid_purchases,
        payers,
        first_time_purchases,
        paid_purchases - first_time_purchases as repeat_purchases,
        revenue,
        first_time_revenue,
        cast(revenue - first_time_revenue as decimal(18, 4)) as repeat_revenue,
        {{ ratio('paid_purchases', 'payers') }} as transactions_per_payer,
        cast({{ divided_exactly('revenue', 'paid_purchases', 4) }} as decimal(18, 4))
            as revenue_per_transaction,
        median_days_to_first_purchase,
        missing_rate_count
    from counts
)

select * from final
