with games as (
    select
        game_id,
        game_name,
        game_provider_id
    from {{ ref('stg_ledger__games') }}
),

game_providers as (
    select
        game_provider_id,
        game_provider_name
    from {{ ref('stg_ledger__game_providers') }}
),

game_categories as (
    select
        game_id,
        game_category
    from {{ ref('stg_ledger__game_categories') }}
),

played_games as (
    select distinct game_id
    from {{ ref('fct_bets') }}
),

{# A game that was played but is missing from the list of games also has a row. #}
game_ids as (
    select game_id
    from games
    union
    select game_id
    from played_games
),

final as (
    select
        game_ids.game_id,
        coalesce(games.game_name, 'Unknown') as game_name,
        games.game_provider_id,
        coalesce(game_providers.game_provider_name, 'Unknown') as game_provider_name,
        coalesce(game_categories.game_category, 'Unknown') as game_category
    from game_ids
    left join games
        on game_ids.game_id = games.game_id
    left join game_providers
        on games.game_provider_id = game_providers.game_provider_id
    left join game_categories
        on game_ids.game_id = game_categories.game_id
)

select * from final
