-- Every bet has an exchange rate: without one the result of its player, game and day is not known.
{# The rows are kept, so the report is built first: no test that has it for a parent stops it. #}
-- depends_on: {{ ref('rpt_betting') }}
select
    bet_date,
    player_id,
    game_id
from {{ ref('fct_bets') }}
where
    cash_turnover is null
    or bonus_turnover is null
    or cash_winnings is null
    or bonus_winnings is null
