with games as (
    select
        id,
        game_name,
        gameproviderid
    from {{ source('ledger', 'games') }}
),

final as (
    select
        trim(id) as game_id,
        max(nullif(trim(game_name), '')) as game_name,
        max(nullif(trim(gameproviderid), '')) as game_provider_id
    from games
    where nullif(trim(id), '') is not null
    group by 1
)

select * from final
