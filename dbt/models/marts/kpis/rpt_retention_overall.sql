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
        {%- for count in ['cohort_size', 'classic_players', 'rolling_players', 'return_players', 'full_players'] %}
        cast(sum(case when is_mature then {{ count }} else 0 end) as bigint) as {{ count }}
            {{- "," if not loop.last }}
        {%- endfor %}
    from retention
    group by 1, 2
),

final as (
    select
        application_id,
        day_n,
        cohort_size,
        {{- retention_rates('cohort_size > 0') }}
    from summed
)

select * from final
