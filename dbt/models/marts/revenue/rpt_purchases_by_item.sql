with purchases as (
    select
        application_id,
        player_id,
        purchase_date,
        coalesce(item_id, 'Unknown') as item_id,
        original_amount,
        original_currency,
        revenue
    from {{ ref('fct_purchases') }}
    where player_id is not null and {{ filter_changed_keys() }}
),

application_days as (
    select
        application_id,
        activity_date as purchase_date
    from {{ ref('int_application_days') }}
    where {{ filter_changed_keys(['activity_date']) }}
),

price_points as (
    select
        purchases.application_id,
        purchases.purchase_date,
        purchases.item_id,
        purchases.original_amount,
        purchases.original_currency,
        count(*) as purchases,
        count(
            distinct
            case when purchases.original_amount > 0 then purchases.player_id end
        ) as payers,
        coalesce(sum(purchases.revenue), 0) as revenue,
        sum(case when purchases.revenue is null then 1 else 0 end) as missing_rate_count
    from purchases
    inner join application_days
        on
            purchases.application_id = application_days.application_id
            and purchases.purchase_date = application_days.purchase_date
    group by 1, 2, 3, 4, 5
),

sums as (
    select
        *,
        sum(revenue) over (
            partition by application_id, purchase_date
        ) as day_revenue,
        sum(revenue) over (
            partition by application_id, purchase_date, item_id
        ) as item_revenue
    from price_points
),

final as (
    select
        application_id,
        purchase_date,
        item_id,
        original_amount,
        original_currency,
        cast(purchases as bigint) as purchases,
        cast(payers as bigint) as payers,
        cast(revenue as decimal(18, 4)) as revenue,
        {{ ratio('revenue', 'day_revenue') }} as revenue_share,
        cast(
            rank() over (
                partition by application_id, purchase_date
                order by revenue desc
            ) as bigint
        ) as revenue_rank,
        cast(
            dense_rank() over (
                partition by application_id, purchase_date
                order by item_revenue desc
            ) as bigint
        ) as item_rank,
        cast(missing_rate_count as bigint) as missing_rate_count
    from sums
)

select * from final
