-- On each day, the sum of GGR and of bets over all games equals the sum over all
-- players.
{% set conditions = [
    filter_tested_keys('model.game_analytics.fct_bets'),
    filter_tested_keys('model.game_analytics.rpt_betting'),
] %}
{% set is_tested = 'true' if none in conditions else conditions | join(' or ') %}
with by_game as (
    select
        bet_date,
        {{ sum_if_all_known('ggr') }} as ggr,
        sum(bet_count) as bet_count
    from {{ ref('rpt_betting') }}
    where {{ is_tested }}
    group by 1
),

by_player as (
    select
        bet_date,
        {{ sum_if_all_known('gross_result') }} as ggr,
        sum(bet_count) as bet_count
    from {{ ref('fct_bets') }}
    where {{ is_tested }}
    group by 1
)

select
    by_player.bet_date,
    by_game.ggr as ggr_by_game,
    by_player.ggr as ggr_by_player
from by_player
full outer join by_game
    on by_player.bet_date = by_game.bet_date
where
    coalesce(by_game.ggr, 0) <> coalesce(by_player.ggr, 0)
    or coalesce(by_game.bet_count, -1) <> coalesce(by_player.bet_count, -1)
