-- In each calendar month, the amounts of all cohorts add up to those of all players,
-- and the fees to those of the segments.
with cohorts as (
    select
        {{ month_number('first_bet_month') }} + months_since as month_number,
        {{ sum_if_all_known('turnover') }} as turnover,
        {{ sum_if_all_known('ngr') }} as ngr,
        {{ sum_if_all_known('full_ngr') }} as full_ngr
    from {{ ref('rpt_betting_cohorts') }}
    group by 1
),

months as (
    select
        {{ month_number('bet_date') }} as month_number,
        {{ sum_if_all_known('turnover') }} as turnover,
        {{ sum_if_all_known('ngr') }} as ngr,
        {{ sum_if_all_known('full_ngr') }} as full_ngr
    from {{ ref('rpt_betting_by_segment') }}
    where segment_name = 'vip'
    group by 1
)

select
    cohorts.month_number,
    cohorts.turnover,
    months.turnover as turnover_of_days,
    cohorts.ngr,
    months.ngr as ngr_of_days,
    cohorts.full_ngr,
    months.full_ngr as full_ngr_of_days
from cohorts
left join months
    on cohorts.month_number = months.month_number
where
    {% for amount in ['turnover', 'ngr', 'full_ngr'] -%}
        {{ "or " if not loop.first -}}
        coalesce(cohorts.{{ amount }}, 0) <> coalesce(months.{{ amount }}, 0)
    {% endfor %}
