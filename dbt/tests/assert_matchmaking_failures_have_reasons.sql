-- Every failure of matchmaking has one reason, so the failures of all reasons add up to
-- the failures of their segment and day.
with matchmaking as (
    select
        application_id,
        segment_name,
        segment_value,
        matchmaking_date,
        matchmaking_failures
    from {{ ref('rpt_matchmaking') }}
),

reasons as (
    select
        application_id,
        segment_name,
        segment_value,
        matchmaking_date,
        sum(failures_with_reason) as failures_with_reason
    from {{ ref('rpt_matchmaking_failures') }}
    group by 1, 2, 3, 4
)

select
    matchmaking.application_id,
    matchmaking.segment_name,
    matchmaking.segment_value,
    matchmaking.matchmaking_date,
    matchmaking.matchmaking_failures,
    reasons.failures_with_reason
from matchmaking
left join reasons
    on
        matchmaking.application_id = reasons.application_id
        and matchmaking.segment_name = reasons.segment_name
        and matchmaking.segment_value = reasons.segment_value
        and matchmaking.matchmaking_date = reasons.matchmaking_date
where matchmaking.matchmaking_failures <> coalesce(reasons.failures_with_reason, 0)
