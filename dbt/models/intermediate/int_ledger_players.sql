with players as (
    select
        player_id,
        country,
        birth_date,
        is_vip,
        is_verified
    from {{ ref('stg_ledger__players') }}
)

select * from players
