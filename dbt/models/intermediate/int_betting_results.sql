{%- set fees = ['provider', 'payment', 'tax'] -%}

with bets as (
    select
        bet_date,
        player_id,
        game_id,
        bet_count,
        cash_turnover,
        bonus_turnover,
        turnover,
        winnings,
        cash_result,
        bonus_result,
        gross_result
    from {{ ref('fct_bets') }}
    where
        {{ filter_days('bet_date', changed_days()) }}
        and {{ filter_changed_keys() }}
),

games as (
    select
        game_id,
        game_provider_id,
        game_provider_name,
        game_category
    from {{ ref('dim_games') }}
),

players as (
    select
        player_id,
        country,
        birth_date,
        is_vip,
        is_verified
    from {{ ref('int_ledger_players') }}
),

fees as (
    select
        fee,
        applies_to,
        base,
        rate,
        valid_from,
        valid_to
    from {{ ref('int_betting_fees') }}
),

bet_days as (
    select distinct bet_date
    from bets
),

day_fees as (
    select
        bet_days.bet_date,
        fees.fee,
        fees.applies_to,
        fees.base,
        fees.rate
    from bet_days
    inner join fees
        on
            bet_days.bet_date >= fees.valid_from
            and bet_days.bet_date <= fees.valid_to
),

{#
    The age is that of the day of the bet, so no row changes because a player grows
    older.
#}
bets_with_attributes as (
    select
        bets.*,
        coalesce(games.game_provider_id, 'Unknown') as game_provider_id,
        coalesce(games.game_provider_name, 'Unknown') as game_provider_name,
        coalesce(games.game_category, 'Unknown') as game_category,
        coalesce(players.country, 'Unknown') as country,
        {{ age_years('players.birth_date', 'bets.bet_date') }} as age_years,
        case
            when players.is_vip then 'yes'
            when not players.is_vip then 'no'
            else 'Unknown'
        end as vip,
        case
            when players.is_verified then 'yes'
            when not players.is_verified then 'no'
            else 'Unknown'
        end as kyc
    from bets
    left join games
        on bets.game_id = games.game_id
    left join players
        on bets.player_id = players.player_id
),

bets_with_rates as (
    select
        {% for fee in fees -%}
            coalesce(own_{{ fee }}.base, other_{{ fee }}.base) as {{ fee }}_base,
            coalesce(own_{{ fee }}.rate, other_{{ fee }}.rate, 0) as {{ fee }}_rate,
        {% endfor -%}
        bets.*
    from bets_with_attributes as bets
    {% for fee in fees -%}
        {%- set applies_to = 'game_provider_id' if fee == 'provider' else 'country' -%}
        left join day_fees as own_{{ fee }}
            on
                bets.bet_date = own_{{ fee }}.bet_date
                and bets.{{ applies_to }} = own_{{ fee }}.applies_to
                and own_{{ fee }}.fee = '{{ fee }}'
        left join day_fees as other_{{ fee }}
            on
                bets.bet_date = other_{{ fee }}.bet_date
                and other_{{ fee }}.applies_to = 'default'
                and other_{{ fee }}.fee = '{{ fee }}'
    {% endfor %}
),

{# DuckDB would hold the product of two decimals of up to 18 digits in 18. #}
bets_with_shares as (
    select
        {% for fee in fees -%}
            cast(
                case {{ fee }}_base
                    when 'ggr' then gross_result
                    when 'ngr' then cash_result
                    when 'turnover' then turnover
                    when 'cash_turnover' then cash_turnover
                end as decimal(24, 4)
            ) * {{ fee }}_rate as {{ fee }}_share,
        {% endfor -%}
        bets_with_rates.*
    from bets_with_rates
),

{#
    Each fee is rounded here, in the same rows as the money of fct_bets. So the fees of
    all marts are sums of the same amounts. Without a rate a fee is 0, also where the
    base is unknown.
#}
bets_with_fees as (
    select
        {% for fee in fees -%}
            case
                when {{ fee }}_rate = 0 then 0
                else {{ rounded_money(fee ~ '_share') }}
            end as {{ fee }}_amount,
        {% endfor -%}
        bets_with_shares.*
    from bets_with_shares
),

final as (
    select
        bet_date,
        player_id,
        game_id,
        cast(date_trunc('month', bet_date) as date) as bet_month,
        game_provider_name,
        game_category,
        country,
        {{ age_band('age_years') }} as age_band,
        vip,
        kyc,
        bet_count,
        bonus_turnover,
        turnover,
        winnings,
        gross_result as ggr,
        bonus_result as bonus_cost,
        cash_result as ngr,
        cast(provider_amount as decimal(18, 4)) as provider_fee,
        cast(payment_amount as decimal(18, 4)) as payment_fee,
        cast(tax_amount as decimal(18, 4)) as tax,
        cast(
            cash_result - provider_amount - payment_amount - tax_amount
            as decimal(18, 4)
        ) as full_ngr
    from bets_with_fees
)

select * from final
