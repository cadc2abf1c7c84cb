with game_categories as (
    select
        game_id,
        game_category
    from {{ source('ledger', 'game_categories') }}
),

{# A game in two categories counts in one, else its bets would count twice. #}
final as (
    select
        {{ trimmed('game_id') }} as game_id,
        min(nullif({{ trimmed('game_category') }}, '')) as game_category
    from game_categories
    where nullif({{ trimmed('game_id') }}, '') is not null
    group by 1
)

select * from final
