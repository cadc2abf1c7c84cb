with retention as (
    select
        application_id,
        day_n,
        cohort_size,
        is_mature,
        classic_players,
        rolling_players,
        return_players,
        full_players
    from {{ ref('rpt_retention') }}
),

summed as (
    select
        application_id,
        day_n,
        cast(sum(case when is_mature then cohort_size else 0 end) as bigint)
            as cohort_size,
        cast(sum(case when is_mature then classic_players else 0 end) as bigint)
            as classic_players,
        cast(sum(case when is_mature then rolling_players else 0 end) as bigint)
            as rolling_players,
        cast(sum(case when is_mature then return_players else 0 end) as bigint)
            as return_players,
        cast(sum(case when is_mature then full_players else 0 end) as bigint)
            as full_players
    from retention
    group by 1, 2
),

final as (
    select
        application_id,
        day_n,
        cohort_size,
        {{- retention_columns('cohort_size > 0') }}
    from summed
)

select * from final
