-- Each player of a cohort has exactly one value in each segment, so the counts of all
-- values of a segment sum to those of the cohort.
with cohorts as (
    select
        application_id,
        cohort_date,
        day_n,
        cohort_size,
        classic_players,
        rolling_players,
        return_players,
        full_players
    from {{ ref('rpt_retention') }}
),

by_segment as (
    select
        application_id,
        cohort_date,
        segment_name,
        day_n,
        sum(cohort_size) as cohort_size,
        sum(classic_players) as classic_players,
        sum(rolling_players) as rolling_players,
        sum(return_players) as return_players,
        sum(full_players) as full_players
    from {{ ref('rpt_retention_by_segment') }}
    group by 1, 2, 3, 4
),

segments as (
    {% for segment in cohort_segments() -%}
        select '{{ segment }}' as segment_name
        {{ "union all" if not loop.last }}
    {% endfor %}
)

select
    cohorts.application_id,
    cohorts.cohort_date,
    segments.segment_name,
    cohorts.day_n,
    cohorts.cohort_size,
    by_segment.cohort_size as cohort_size_of_segments
from cohorts
cross join segments
left join by_segment
    on
        cohorts.application_id = by_segment.application_id
        and cohorts.cohort_date = by_segment.cohort_date
        and segments.segment_name = by_segment.segment_name
        and cohorts.day_n = by_segment.day_n
where
    cohorts.cohort_size <> coalesce(by_segment.cohort_size, -1)
    or cohorts.classic_players <> coalesce(by_segment.classic_players, -1)
    or cohorts.rolling_players <> coalesce(by_segment.rolling_players, -1)
    or cohorts.return_players <> coalesce(by_segment.return_players, -1)
    or cohorts.full_players <> coalesce(by_segment.full_players, -1)
