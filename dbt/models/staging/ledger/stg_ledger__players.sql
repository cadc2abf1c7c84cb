{%- set true_texts = "('1', 'true', 't', 'y', 'yes')" -%}

with players as (
    select
        playerid,
        country,
        birthdate,
        gender,
        playerstate,
        vip,
        kyc,
        wantsnewsletter,
        latestupdate
    from {{ source('ledger', 'players') }}
    where problem is null
),

parsed as (
    select
        {{ known_id(known_text('playerid')) }} as player_id,
        upper({{ known_text('country') }}) as country,
        {{ parsed_date('birthdate') }} as birth_date,
        {{ known_text('gender') }} as gender,
        {{ known_text('playerstate') }} as player_state,
        coalesce(lower({{ trimmed('vip') }}) in {{ true_texts }}, false)
            as is_vip,
        coalesce(lower({{ trimmed('kyc') }}) in {{ true_texts }}, false)
            as is_verified,
        coalesce(lower({{ trimmed('wantsnewsletter') }}) in {{ true_texts }}, false)
            as wants_newsletter,
        {{ parsed_date('latestupdate') }} as updated_date,
        {{ known_text('latestupdate') }} as updated_text
    from players
    where {{ known_id(known_text('playerid')) }} is not null
),

ranked as (
    select
        *,
        row_number() over (
            partition by player_id
            order by
                case when updated_date is null then 1 else 0 end,
                updated_date desc,
                coalesce(updated_text, '') desc,
                coalesce(country, ''),
                coalesce(cast(birth_date as varchar(10)), ''),
                coalesce(gender, ''),
                coalesce(player_state, ''),
                is_vip,
                is_verified,
                wants_newsletter
        ) as recency
    from parsed
),

final as (
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
    from ranked
    where recency = 1
)

select * from final
