with ltv as (
    select
        application_id,
        age_days,
        cohort_size,
        cumulative_revenue,
        spend,
        is_mature
    from {{ ref('rpt_ltv') }}
),

summed as (
    select
        application_id,
        age_days,
        cast(sum(case when is_mature then cohort_size else 0 end) as bigint)
            as cohort_size,
        cast(
            sum(case when is_mature then cumulative_revenue else 0 end)
            as decimal(18, 4)
        ) as cumulative_revenue,
        cast(sum(case when is_mature then spend end) as decimal(18, 4)) as spend
    from ltv
    group by 1, 2
),

final as (
    select
        application_id,
        age_days,
        cohort_size,
        cumulative_revenue,
        {{- ltv_columns('cohort_size > 0') }}
    from summed
)

select * from final
