select bet_id, amount from {{ ref('eph_bets') }}
