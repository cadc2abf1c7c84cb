-- On each day, the bets and amounts over the values of each segment add up to those of
-- all games.
{% set conditions = [
    filter_tested_keys('model.game_analytics.rpt_betting'),
    filter_tested_keys('model.game_analytics.rpt_betting_by_segment'),
] %}
{% set is_tested = 'true' if none in conditions else conditions | join(' or ') %}
{% set amounts = ['turnover', 'winnings', 'ggr', 'ngr'] %}
with days as (
    select
        bet_date,
        {% for amount in amounts -%}
            {{ sum_if_all_known(amount) }} as {{ amount }},
        {% endfor -%}
        sum(bet_count) as bet_count
    from {{ ref('rpt_betting') }}
    where {{ is_tested }}
    group by 1
),

segments as (
    {{ values_as_rows(
        ["'provider'", "'category'", "'country'", "'age_band'", "'vip'", "'kyc'"],
        'segment_name'
    ) }}
),

wanted as (
    select
        days.*,
        segments.segment_name
    from days
    cross join segments
),

found as (
    select
        bet_date,
        segment_name,
        {% for amount in amounts -%}
            {{ sum_if_all_known(amount) }} as {{ amount }},
        {% endfor -%}
        sum(bet_count) as bet_count
    from {{ ref('rpt_betting_by_segment') }}
    where {{ is_tested }}
    group by 1, 2
)

select
    coalesce(wanted.bet_date, found.bet_date) as bet_date,
    coalesce(wanted.segment_name, found.segment_name) as segment_name,
    wanted.turnover,
    found.turnover as turnover_of_segment,
    wanted.ngr,
    found.ngr as ngr_of_segment
from wanted
full outer join found
    on
        wanted.bet_date = found.bet_date
        and wanted.segment_name = found.segment_name
where
    coalesce(wanted.bet_count, -1) <> coalesce(found.bet_count, -1)
    {% for amount in amounts -%}
        or coalesce(wanted.{{ amount }}, 0) <> coalesce(found.{{ amount }}, 0)
        or (wanted.{{ amount }} is null) <> (found.{{ amount }} is null)
    {% endfor %}
