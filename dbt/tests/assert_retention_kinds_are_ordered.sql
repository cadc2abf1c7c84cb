-- Who was active every day was so on day N, who was on day N was so on day N or later and on some
-- day up to N; and the later N, the fewer are active on it or after it.
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
