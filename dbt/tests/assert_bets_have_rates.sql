-- Every bet has an exchange rate. Without a rate, the result of its player, game and
-- day is null.
{#
    This dependency makes dbt build the report before it runs this test. Rows without a
    rate are kept, so a failure must not stop the report.
#}
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
