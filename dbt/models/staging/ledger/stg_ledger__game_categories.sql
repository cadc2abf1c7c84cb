with game_categories as (
    select
        game_id,
        game_category
    from {{ source('ledger', 'game_categories') }}
    where problem is null
),

{#
    A game with two categories gets only one of them, because its bets would count twice
    otherwise.
#}
final as (
    select
        {{ trimmed('game_id') }} as game_id,
        min({{ known_text('game_category') }}) as game_category
    from game_categories
    where {{ known_text('game_id') }} is not null
    group by 1
)

select * from final
