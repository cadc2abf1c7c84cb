{%- set amounts = [
    'turnover', 'ggr', 'ngr', 'provider_fee', 'payment_fee', 'tax', 'full_ngr',
] -%}

with player_months as (
    select
        bet_month,
        player_id,
        bet_count,
        {{ amounts | join(', ') }}
    from {{ ref('int_betting_player_months') }}
),

bet_days as (
    select bet_date
    from {{ ref('rpt_betting') }}
),

{# The last day of the ledger that has ended. #}
as_of_days as (
    select
        {% if var('as_of_date') -%}
            max(date '{{ var("as_of_date") }}') as as_of_date
        {%- else -%}
            max(case when bet_date < {{ today_utc() }} then bet_date end) as as_of_date
        {%- endif %}
    from bet_days
),

as_of_months as (
    select
        {{ month_number('as_of_date') }} as as_of_month,
        {# All months before this one have ended. #}
        {{ month_number('(as_of_date + 1)') }} as first_open_month
    from as_of_days
    where as_of_date is not null
),

first_months as (
    select
        player_id,
        min(bet_month) as first_bet_month
    from player_months
    group by 1
),

cohorts as (
    select
        first_months.first_bet_month,
        {{ month_number('first_months.first_bet_month') }} as first_month,
        count(*) as players
    from first_months
    group by 1, 2
),

numbers as (
    select number
    from {{ numbers(4) }} as numbers
),

cohort_months as (
    select
        cohorts.first_bet_month,
        cast(numbers.number as integer) as months_since,
        cohorts.players,
        cohorts.first_month + numbers.number < as_of_months.first_open_month
            as is_mature
    from cohorts
    cross join as_of_months
    inner join numbers
        on cohorts.first_month + numbers.number <= as_of_months.as_of_month
),

cohort_results as (
    select
        first_months.first_bet_month,
        {{ month_number('player_months.bet_month') }}
        - ({{ month_number('first_months.first_bet_month') }}) as months_since,
        {% for amount in amounts -%}
            {{ sum_if_all_known('player_months.' ~ amount) }} as {{ amount }},
        {% endfor -%}
        sum(case when player_months.bet_count > 0 then 1 else 0 end) as active_players
    from player_months
    inner join first_months
        on player_months.player_id = first_months.player_id
    group by 1, 2
),

{# A month without bets of the cohort has amounts of 0. #}
all_months as (
    select
        cohort_months.first_bet_month,
        cohort_months.months_since,
        cohort_months.players,
        cohort_months.is_mature,
        {% for amount in amounts -%}
            cast(
                case
                    when cohort_results.months_since is null then 0
                    else cohort_results.{{ amount }}
                end as decimal(18, 4)
            ) as {{ amount }},
        {% endfor -%}
        coalesce(cohort_results.active_players, 0) as active_players
    from cohort_months
    left join cohort_results
        on
            cohort_months.first_bet_month = cohort_results.first_bet_month
            and cohort_months.months_since = cohort_results.months_since
),

cumulated as (
    select
        {% for amount in ['ngr', 'full_ngr'] -%}
            case
                when
                    sum(case when {{ amount }} is null then 1 else 0 end) over (
                        partition by first_bet_month
                        order by months_since
                        rows between unbounded preceding and current row
                    ) = 0
                    then cast(
                        sum({{ amount }}) over (
                            partition by first_bet_month
                            order by months_since
                            rows between unbounded preceding and current row
                        ) as decimal(18, 4)
                    )
            end as cumulative_{{ amount }},
        {% endfor -%}
        all_months.*
    from all_months
),

final as (
    select
        first_bet_month,
        months_since,
        cast(players as bigint) as players,
        cast(active_players as bigint) as active_players,
        {{ ratio('case when is_mature then active_players end', 'players') }}
            as active_rate,
        {{ amounts | join(', ') }},
        {% for amount in ['cumulative_ngr', 'cumulative_full_ngr'] -%}
            cast({{ amount }} as decimal(18, 4)) as {{ amount }},
            case
                when is_mature
                    then cast(
                        {{ divided_exactly(amount, 'players', 4) }} as decimal(18, 4)
                    )
            end as {{ amount }}_per_player,
        {% endfor -%}
        is_mature
    from cumulated
)

select * from final
