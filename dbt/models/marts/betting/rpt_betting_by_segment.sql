{%- set amounts = [
    'bonus_turnover', 'turnover', 'winnings', 'ggr', 'bonus_cost', 'ngr',
    'provider_fee', 'payment_fee', 'tax', 'full_ngr',
] -%}

with results as (
    select
        bet_date,
        player_id,
        game_provider_name,
        game_category,
        country,
        age_band,
        vip,
        kyc,
        bet_count,
        {{ amounts | join(', ') }}
    from {{ ref('int_betting_results') }}
    where {{ filter_changed_keys() }}
),

segments as (
    {{ values_as_rows(
        ["'provider'", "'category'", "'country'", "'age_band'", "'vip'", "'kyc'"],
        'segment_name'
    ) }}
),

segment_results as (
    select
        results.*,
        segments.segment_name,
        case segments.segment_name
            when 'provider' then results.game_provider_name
            when 'category' then results.game_category
            when 'country' then results.country
            when 'age_band' then results.age_band
            when 'vip' then results.vip
            when 'kyc' then results.kyc
        end as segment_value
    from results
    cross join segments
),

player_days as (
    select
        bet_date,
        segment_name,
        segment_value,
        player_id,
        {% for amount in amounts -%}
            {{ sum_if_all_known(amount) }} as {{ amount }},
        {% endfor -%}
        sum(bet_count) as bet_count
    from segment_results
    group by 1, 2, 3, 4
),

segment_days as (
    select
        bet_date,
        segment_name,
        segment_value,
        count(*) as rtp_players,
        sum(case when bet_count > 0 then 1 else 0 end) as active_players,
        sum(bet_count) as bet_count,
        {% for amount in amounts -%}
            {{ sum_if_all_known(amount) }} as {{ amount }},
        {% endfor -%}
        max(greatest(abs(turnover), abs(winnings))) as largest_amount
    from player_days
    group by 1, 2, 3
),

typed as (
    select
        bet_date,
        segment_name,
        segment_value,
        rtp_players,
        active_players,
        bet_count,
        {% for amount in amounts -%}
            cast({{ amount }} as decimal(18, 4)) as {{ amount }},
        {% endfor -%}
        largest_amount
    from segment_days
),

segment_rates as (
    select
        *,
        {{ divided_exactly('winnings', 'turnover', 8) }} as exact_rtp
    from typed
),

{#
    The standard error of a ratio, from the residuals of the players of the day: their
    bets are not independent of each other, and the players are. See Cochran, Sampling
    Techniques, 3rd edition, 1977, section 6.4, without the correction for a finite
    population. The residuals are exact decimals, so that both engines add the same
    numbers. The limits keep their squares within 38 digits. One factor of each product
    has more than 18 digits, because DuckDB holds the product of two shorter ones in 18.
#}
intervals_of as (
    select
        bet_date,
        segment_name,
        segment_value,
        cast(exact_rtp as decimal(10, 8)) as exact_rtp
    from segment_rates
    where
        rtp_players >= 30
        and turnover > 0
        and largest_amount < 10000000000
        and abs(exact_rtp) < 50
),

residuals as (
    select
        player_days.bet_date,
        player_days.segment_name,
        player_days.segment_value,
        cast(
            round(
                cast(player_days.winnings as decimal(18, 4))
                - cast(player_days.turnover as decimal(24, 4)) * intervals_of.exact_rtp,
                6
            ) as decimal(18, 6)
        ) as residual
    from player_days
    inner join intervals_of
        on
            player_days.bet_date = intervals_of.bet_date
            and player_days.segment_name = intervals_of.segment_name
            and player_days.segment_value = intervals_of.segment_value
),

squared_residuals as (
    select
        bet_date,
        segment_name,
        segment_value,
        sum(cast(residual as decimal(19, 6)) * residual) as squares
    from residuals
    group by 1, 2, 3
),

margins as (
    select
        segment_rates.*,
        {{ ratio('segment_rates.winnings', 'segment_rates.turnover') }} as rtp,
        1.959964
        * sqrt(
            cast(squared_residuals.squares as double precision)
            * {{ ratio('segment_rates.rtp_players', 'segment_rates.rtp_players - 1') }}
        )
        / cast(segment_rates.turnover as double precision) as margin
    from segment_rates
    left join squared_residuals
        on
            segment_rates.bet_date = squared_residuals.bet_date
            and segment_rates.segment_name = squared_residuals.segment_name
            and segment_rates.segment_value = squared_residuals.segment_value
),

final as (
    select
        bet_date,
        segment_name,
        segment_value,
        cast(active_players as bigint) as active_players,
        cast(bet_count as bigint) as bet_count,
        turnover,
        winnings,
        cast({{ divided_exactly('turnover', 'bet_count', 4) }} as decimal(18, 4))
            as average_stake,
        {{ ratio('bet_count', 'active_players') }} as bets_per_player,
        bonus_turnover,
        {{ ratio('bonus_turnover', 'turnover') }} as bonus_share_of_turnover,
        ggr,
        bonus_cost,
        {{ ratio('bonus_cost', 'ggr') }} as bonus_cost_share_of_ggr,
        ngr,
        provider_fee,
        payment_fee,
        tax,
        full_ngr,
        rtp,
        {% for sign, name in [('-', 'rtp_low'), ('+', 'rtp_high')] -%}
            {# Digits that depend on the engine's rounding of doubles are cut off. #}
            case
                when margin < 50
                    then cast(
                        round(cast(rtp {{ sign }} margin as decimal(24, 12)), 8)
                        as double precision
                    )
            end as {{ name }},
        {% endfor -%}
        cast(rtp_players as bigint) as rtp_players
    from margins
)

select * from final
