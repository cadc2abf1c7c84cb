{#
    The first purchase of a player is found among all of the player's purchases, also if
    only one of them is built again.
#}
with players as (
    select distinct
        application_id,
        player_id
    from {{ ref('int_purchases') }}
    where player_id is not null and {{ filter_changed_keys() }}
),

purchases as (
    select
        int_purchases.*,
        row_number() over (
            partition by
                int_purchases.application_id,
                int_purchases.player_id,
                case when int_purchases.original_amount > 0 then 1 else 0 end
            order by int_purchases.purchase_timestamp, int_purchases.transaction_id
        ) as purchase_number
    from {{ ref('int_purchases') }} as int_purchases
    left join players
        on
            int_purchases.application_id = players.application_id
            and int_purchases.player_id = players.player_id
    where players.player_id is not null or int_purchases.player_id is null
),

refunds as (
    select
        application_id,
        transaction_id,
        min(
            case
                when refunded_revenue is null or refunded_revenue <> 0
                    then refunded_at
            end
        ) as refunded_at,
        {{ sum_if_all_known('refunded_revenue') }} as refunded_revenue
    from {{ ref('int_refunds') }}
    where is_known_transaction and {{ filter_changed_keys() }}
    group by 1, 2
),

final as (
    select
        purchases.application_id,
        purchases.transaction_id,
        purchases.player_id,
        purchases.purchased_at,
        purchases.purchase_date,
        purchases.item_id,
        cast(purchases.original_amount as decimal(24, 8)) as original_amount,
        purchases.original_currency,
        purchases.revenue,
        refunds.refunded_at,
        cast(refunds.refunded_at as date) as refund_date,
        cast(
            case
                when refunds.transaction_id is null then 0
                else refunds.refunded_revenue
            end as decimal(18, 4)
        ) as refunded_revenue,
        coalesce(
            purchases.player_id is not null
            and purchases.original_amount > 0
            and purchases.purchase_number = 1,
            false
        ) as is_first_purchase
    from purchases
    left join refunds
        on
            purchases.application_id = refunds.application_id
            and purchases.transaction_id = refunds.transaction_id
)

select * from final
where {{ filter_changed_keys() }}
