-- Every error counts once in rpt_stability, and so does every session.
with errors as (
    select
        application_id,
        count(*) as error_count
    from {{ ref('int_gameplay_events') }}
    where event_type = 'client_error'
    group by 1
),

sessions as (
    select
        application_id,
        count(*) as session_count
    from {{ ref('fct_sessions') }}
    group by 1
),

stability as (
    select
        application_id,
        sum(errors) as error_count,
        sum(session_count) as session_count
    from {{ ref('rpt_stability') }}
    group by 1
)

select
    coalesce(stability.application_id, sessions.application_id, errors.application_id)
        as application_id,
    errors.error_count,
    sessions.session_count,
    stability.error_count as errors_of_stability,
    stability.session_count as sessions_of_stability
from stability
full join sessions
    on stability.application_id = sessions.application_id
full join errors
    on stability.application_id = errors.application_id
where
    coalesce(errors.error_count, 0) <> coalesce(stability.error_count, 0)
    or coalesce(sessions.session_count, 0) <> coalesce(stability.session_count, 0)
