-- Each row of the seed betting_fees applies to a game provider or to a country of the
-- ledger. A row of another name has no effect: correct dbt/seeds/betting_fees.csv.
{{ config(severity='warn') }}
with fees as (
    select
        fee,
        applies_to,
        valid_from
    from {{ ref('betting_fees') }}
    where applies_to not in ('default', 'Unknown')
),

known as (
    select
        'provider' as fee,
        game_provider_id as applies_to
    from {{ ref('dim_games') }}
    union
    select
        'payment' as fee,
        country as applies_to
    from {{ ref('dim_ledger_players') }}
    union
    select
        'tax' as fee,
        country as applies_to
    from {{ ref('dim_ledger_players') }}
)

select
    fees.fee,
    fees.applies_to,
    fees.valid_from
from fees
left join known
    on
        fees.fee = known.fee
        and fees.applies_to = known.applies_to
where known.fee is null
