select bet_id, amount from {{ ref('stg_bets') }}
