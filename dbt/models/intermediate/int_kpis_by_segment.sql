{#
    WAU and MAU of a day are the sums of all changes until then. Of the days before the
    first one that is built again, only one sum is needed.
#}
{%- set days = changed_days() -%}

with segment_days as (
    select
        application_id,
        segment_name,
        segment_value,
        activity_date,
        dau,
        new_players,
        session_count,
        playtime_seconds,
        iap_revenue,
        ad_revenue,
        refunds,
        revenue,
        payers,
        first_time_payers
    from {{ ref('int_segment_days') }}
    where {{ filter_days('activity_date', days) }}
),

window_changes as (
    select
        application_id,
        segment_name,
        segment_value,
        {% if days -%}
            greatest(activity_date, date '{{ days[0] }}' - 1) as activity_date,
        {%- else -%}
            activity_date,
        {%- endif %}
        wau_change,
        mau_change
    from {{ ref('int_segment_days') }}
),

segment_values as (
    select
        application_id,
        segment_name,
        segment_value,
        first_date
    from {{ ref('int_segment_values') }}
),

application_days as (
    select
        application_id,
        activity_date
    from {{ ref('int_application_days') }}
    where {{ filter_days('activity_date', days) }}
),

all_changes as (
    select
        segment_values.application_id,
        segment_values.segment_name,
        segment_values.segment_value,
        application_days.activity_date,
        0 as wau_change,
        0 as mau_change,
        1 as is_reported
    from segment_values
    inner join application_days
        on
            segment_values.application_id = application_days.application_id
            and segment_values.first_date <= application_days.activity_date
    union all
    select
        application_id,
        segment_name,
        segment_value,
        activity_date,
        wau_change,
        mau_change,
        0 as is_reported
    from window_changes
),

daily_changes as (
    select
        application_id,
        segment_name,
        segment_value,
        activity_date,
        sum(wau_change) as wau_change,
        sum(mau_change) as mau_change,
        max(is_reported) as is_reported
    from all_changes
    group by 1, 2, 3, 4
),

running_changes as (
    select
        application_id,
        segment_name,
        segment_value,
        activity_date,
        is_reported,
        sum(wau_change) over (
            partition by application_id, segment_name, segment_value
            order by activity_date
            rows between unbounded preceding and current row
        ) as wau,
        sum(mau_change) over (
            partition by application_id, segment_name, segment_value
            order by activity_date
            rows between unbounded preceding and current row
        ) as mau
    from daily_changes
),

segment_day_counts as (
    select
        running_changes.application_id,
        running_changes.segment_name,
        running_changes.segment_value,
        running_changes.activity_date as kpi_date,
        cast(coalesce(segment_days.dau, 0) as bigint) as dau,
        cast(running_changes.wau as bigint) as wau,
        cast(running_changes.mau as bigint) as mau,
        cast(coalesce(segment_days.new_players, 0) as bigint) as new_players,
        cast(coalesce(segment_days.session_count, 0) as bigint) as session_count,
        cast(coalesce(segment_days.playtime_seconds, 0) as bigint) as playtime_seconds,
        cast(coalesce(segment_days.iap_revenue, 0) as decimal(18, 4)) as iap_revenue,
        cast(coalesce(segment_days.ad_revenue, 0) as decimal(18, 4)) as ad_revenue,
        cast(coalesce(segment_days.refunds, 0) as decimal(18, 4)) as refunds,
        cast(coalesce(segment_days.revenue, 0) as decimal(18, 4)) as revenue,
        cast(coalesce(segment_days.payers, 0) as bigint) as payers,
        cast(coalesce(segment_days.first_time_payers, 0) as bigint)
            as first_time_payers
    from running_changes
    left join segment_days
        on
            running_changes.application_id = segment_days.application_id
            and running_changes.segment_name = segment_days.segment_name
            and running_changes.segment_value = segment_days.segment_value
            and running_changes.activity_date = segment_days.activity_date
    where running_changes.is_reported = 1
),

final as (
    select
        application_id,
        segment_name,
        segment_value,
        kpi_date,
        dau,
        wau,
        mau,
        {{ ratio('dau', 'mau') }} as stickiness,
        new_players,
        dau - new_players as returning_players,
        session_count,
        {{ ratio('session_count', 'dau') }} as sessions_per_dau,
        playtime_seconds,
        iap_revenue,
        ad_revenue,
        refunds,
        revenue,
        payers,
        first_time_payers,
        {{ ratio('payers', 'dau') }} as payer_conversion,
        cast({{ divided_exactly('revenue', 'dau', 4) }} as decimal(18, 4)) as arpdau,
        cast({{ divided_exactly('iap_revenue', 'payers', 4) }} as decimal(18, 4))
            as arppu
    from segment_day_counts
)

select * from final
