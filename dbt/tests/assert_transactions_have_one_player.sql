-- Every transaction id belongs to one player. Of an id that several players use, only
-- the earliest purchase counts, so revenue is missing. The game must send ids that are
-- unique within the application, such as the store's order id.
{{ config(severity='warn') }}

with purchases as (
    select
        application_id,
        transaction_id,
        player_id
    from {{ ref('int_money_events') }}
    where event_type = 'iap_transaction' and amount >= 0
),

kept_purchases as (
    select
        application_id,
        transaction_id
    from {{ ref('fct_purchases') }}
)

select
    purchases.application_id,
    purchases.transaction_id,
    count(distinct purchases.player_id) as player_count
from purchases
inner join kept_purchases
    on
        purchases.application_id = kept_purchases.application_id
        and purchases.transaction_id = kept_purchases.transaction_id
group by 1, 2
having count(distinct purchases.player_id) > 1
