with games as (
    select
        id,
        game_name,
        gameproviderid
    from {{ source('ledger', 'games') }}
    where problem is null
),

final as (
    select
        {{ trimmed('id') }} as game_id,
        max({{ known_text('game_name') }}) as game_name,
        max({{ known_text('gameproviderid') }}) as game_provider_id
    from games
    where {{ known_text('id') }} is not null
    group by 1
)

select * from final
