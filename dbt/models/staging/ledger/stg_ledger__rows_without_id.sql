with games as (
    select
        id,
        game_name,
        gameproviderid,
        file_name,
        line_number,
        problem,
        raw_row
    from {{ source('ledger', 'games') }}
    where {{ known_text('id') }} is null
),

game_providers as (
    select
        id,
        game_provider_name,
        file_name,
        line_number,
        problem,
        raw_row
    from {{ source('ledger', 'game_providers') }}
    where {{ known_text('id') }} is null
),

game_categories as (
    select
        game_id,
        game_category,
        file_name,
        line_number,
        problem,
        raw_row
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
        latestupdate,
        file_name,
        line_number,
        problem,
        raw_row
    from {{ source('ledger', 'players') }}
    where {{ known_id(known_text('playerid')) }} is null
),

final as (
    select
        'games' as source_name,
        file_name as source_file,
        line_number,
        coalesce(problem, 'missing_game_id') as mismatch_reason,
        coalesce(
            {{ masked_text('games.raw_row') }},
            {{ json_row(
                'games',
                columns=['id', 'game_name', 'gameproviderid'],
                personal=[]
            ) }}
        ) as payload
    from games
    union all
    select
        'game_providers' as source_name,
        file_name as source_file,
        line_number,
        coalesce(problem, 'missing_game_provider_id') as mismatch_reason,
        coalesce(
            {{ masked_text('game_providers.raw_row') }},
            {{ json_row(
                'game_providers',
                columns=['id', 'game_provider_name'],
                personal=[]
            ) }}
        ) as payload
    from game_providers
    union all
    select
        'game_categories' as source_name,
        file_name as source_file,
        line_number,
        coalesce(problem, 'missing_game_id') as mismatch_reason,
        coalesce(
            {{ masked_text('game_categories.raw_row') }},
            {{ json_row(
                'game_categories',
                columns=['game_id', 'game_category'],
                personal=[]
            ) }}
        ) as payload
    from game_categories
    union all
    select
        'players' as source_name,
        file_name as source_file,
        line_number,
        coalesce(problem, 'missing_player_id') as mismatch_reason,
        coalesce(
            {{ masked_text('players.raw_row') }},
            {{ json_row(
                'players',
                columns=[
                    'playerid', 'country', 'birthdate', 'gender', 'playerstate',
                    'vip', 'kyc', 'wantsnewsletter', 'latestupdate'
                ],
                personal=['playerid', 'country', 'birthdate', 'gender']
            ) }}
        ) as payload
    from players
)

select * from final
