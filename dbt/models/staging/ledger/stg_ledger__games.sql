with games as (
    select
        id,
        game_name,
        gameproviderid
    from {{ source('ledger', 'games') }}
),

final as (
    select
        {{ trimmed('id') }} as game_id,
        max(nullif({{ trimmed('game_name') }}, '')) as game_name,
        max(nullif({{ trimmed('gameproviderid') }}, '')) as game_provider_id
    from games
    where nullif({{ trimmed('id') }}, '') is not null
    group by 1
)

select * from final
