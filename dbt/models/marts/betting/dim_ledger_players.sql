with players as (
    select
        player_id,
        country,
        birth_date,
        gender,
        player_state,
        is_vip,
        is_verified,
        wants_newsletter,
        updated_date
    from {{ ref('snap_ledger_players') }}
    where dbt_valid_to is null
),

players_with_age as (
    select
        *,
        cast(extract(year from {{ today_utc() }}) as integer)
        - cast(extract(year from birth_date) as integer)
        - case
            when
                extract(month from {{ today_utc() }}) * 100
                + extract(day from {{ today_utc() }})
                < extract(month from birth_date) * 100
                + extract(day from birth_date)
                then 1
            else 0
        end as age_years
    from players
),

final as (
    select
        player_id,
        coalesce(country, 'Unknown') as country,
        {{ age_band('age_years') }} as age_band,
        coalesce(gender, 'Unknown') as gender,
        coalesce(player_state, 'Unknown') as player_state,
        is_vip,
        is_verified,
        wants_newsletter,
        updated_date
    from players_with_age
)

select * from final
