-- The players and the revenue of all values of a segment sum to those of the cohort's
-- channels, and the channels have the same spend in both marts.
with channels as (
    select
        application_id,
        cohort_date,
        age_days,
        sum(cohort_size) as cohort_size,
        sum(cumulative_revenue) as cumulative_revenue,
        sum(spend) as spend
    from {{ ref('rpt_ltv') }}
    group by 1, 2, 3
),

by_segment as (
    select
        application_id,
        cohort_date,
        segment_name,
        age_days,
        sum(cohort_size) as cohort_size,
        sum(cumulative_revenue) as cumulative_revenue,
        sum(spend) as spend
    from {{ ref('rpt_ltv_by_segment') }}
    group by 1, 2, 3, 4
),

segments as (
    {% for segment in cohort_segments() -%}
        select '{{ segment }}' as segment_name
        {{ "union all" if not loop.last }}
    {% endfor %}
)

select
    channels.application_id,
    channels.cohort_date,
    segments.segment_name,
    channels.age_days,
    channels.cohort_size,
    by_segment.cohort_size as cohort_size_of_segments,
    channels.cumulative_revenue,
    by_segment.cumulative_revenue as cumulative_revenue_of_segments,
    channels.spend,
    by_segment.spend as spend_of_segments
from channels
cross join segments
left join by_segment
    on
        channels.application_id = by_segment.application_id
        and channels.cohort_date = by_segment.cohort_date
        and segments.segment_name = by_segment.segment_name
        and channels.age_days = by_segment.age_days
where
    channels.cohort_size <> coalesce(by_segment.cohort_size, -1)
    or by_segment.cumulative_revenue is null
    or channels.cumulative_revenue <> by_segment.cumulative_revenue
    or (
        segments.segment_name = 'acquisition_channel'
        and coalesce(channels.spend, -1) <> coalesce(by_segment.spend, -1)
    )
