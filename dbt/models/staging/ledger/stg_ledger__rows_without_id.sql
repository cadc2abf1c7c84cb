with games as (
    select
        id,
        game_name,
        gameproviderid
    from {{ source('ledger', 'games') }}
    where {{ known_text('id') }} is null
),

game_providers as (
    select
        id,
        game_provider_name
    from {{ source('ledger', 'game_providers') }}
    where {{ known_text('id') }} is null
),

game_categories as (
    select
        game_id,
        game_category
    from {{ source('ledger', 'game_categories') }}
    where {{ known_text('game_id') }} is null
),

players as (
    select
        playerid,
        country,
        birthdate,
        gender,
        playerstate,
        vip,
        kyc,
        wantsnewsletter,
        latestupdate
    from {{ source('ledger', 'players') }}
    where {{ known_text('playerid') }} is null
),

final as (
    select
        'games' as source_name,
        'missing_game_id' as mismatch_reason,
        {{ json_row(
            'games',
            columns=['id', 'game_name', 'gameproviderid'],
            personal=[]
        ) }} as payload
    from games
    union all
    select
        'game_providers' as source_name,
        'missing_game_provider_id' as mismatch_reason,
        {{ json_row(
            'game_providers',
            columns=['id', 'game_provider_name'],
            personal=[]
        ) }} as payload
    from game_providers
    union all
    select
        'game_categories' as source_name,
        'missing_game_id' as mismatch_reason,
        {{ json_row(
            'game_categories',
            columns=['game_id', 'game_category'],
            personal=[]
        ) }} as payload
    from game_categories
    union all
    select
        'players' as source_name,
        'missing_player_id' as mismatch_reason,
        {{ json_row(
            'players',
            columns=[
                'playerid', 'country', 'birthdate', 'gender', 'playerstate',
                'vip', 'kyc', 'wantsnewsletter', 'latestupdate'
            ],
            personal=['playerid', 'country', 'birthdate', 'gender']
        ) }} as payload
    from players
)

select * from final
