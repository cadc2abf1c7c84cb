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
        {{ age_years('birth_date', today_utc()) }} as age_years
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
