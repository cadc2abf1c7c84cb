-- A player of full retention also counts in classic retention, and a player of classic
-- retention also counts in rolling and in return retention. None of them is larger than
-- the cohort, and rolling retention does not grow with N.
with retention as (
    select
        application_id,
        cohort_date,
        day_n,
        cohort_size,
        classic_players,
        rolling_players,
        return_players,
        full_players,
        lag(rolling_players) over (
            partition by application_id, cohort_date
            order by day_n
        ) as rolling_players_before
    from {{ ref('rpt_retention') }}
)

select *
from retention
where
    full_players > classic_players
    or classic_players > rolling_players
    or classic_players > return_players
    or rolling_players > rolling_players_before
    or rolling_players > cohort_size
    or return_players > cohort_size
