select bet_id, cast(amount as integer) as amount from {{ source('ledger', 'bets') }}
