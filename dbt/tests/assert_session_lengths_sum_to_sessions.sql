-- Every session of a day is in exactly one bucket, and every bucket has a row.
with session_lengths as (
    select
        application_id,
        session_date,
        count(*) as bucket_count,
        sum(session_count) as session_count,
        max(players) as players
    from {{ ref('rpt_session_lengths') }}
    group by 1, 2
)

select
    kpis.application_id,
    kpis.kpi_date,
    kpis.session_count as session_count_of_kpis,
    session_lengths.session_count,
    session_lengths.bucket_count
from {{ ref('rpt_daily_kpis') }} as kpis
left join session_lengths
    on
        kpis.application_id = session_lengths.application_id
        and kpis.kpi_date = session_lengths.session_date
where
    session_lengths.session_date is null
    or session_lengths.session_count <> kpis.session_count
    or session_lengths.players > kpis.session_count
    or session_lengths.bucket_count <> {{ session_length_buckets() | length }}
