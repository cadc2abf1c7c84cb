with game_providers as (
    select
        id,
        game_provider_name
    from {{ source('ledger', 'game_providers') }}
    where problem is null
),

final as (
    select
        {{ trimmed('id') }} as game_provider_id,
        max({{ known_text('game_provider_name') }}) as game_provider_name
    from game_providers
    where {{ known_text('id') }} is not null
    group by 1
)

select * from final
