with player_days as (
    select
        application_id,
        player_id,
        activity_date,
        is_active,
        app_version,
        platform,
        country_id,
        acquisition_channel,
        campaign_id
    from {{ ref('int_player_days') }}
),

revenue_days as (
    select
        application_id,
        player_id,
        session_count,
        is_payer,
        revenue
    from {{ ref('fct_player_days') }}
),

firsts as (
    select
        application_id,
        player_id,
        min(case when is_active then activity_date end) as first_seen_date,
        max(case when is_active then activity_date end) as last_seen_date,
        {{ first_known('platform', 'cast(activity_date as varchar(10))', 10) }} as first_platform,
        {{ first_known('country_id', 'cast(activity_date as varchar(10))', 10) }}
            as first_country_id,
        {{ first_known('app_version', 'cast(activity_date as varchar(10))', 10) }}
            as first_app_version,
        {{ first_known('acquisition_channel', 'cast(activity_date as varchar(10))', 10) }}
            as acquisition_channel,
        {{ first_known('campaign_id', 'cast(activity_date as varchar(10))', 10) }} as campaign_id
    from player_days
    group by 1, 2
),

lifetimes as (
    select
        application_id,
        player_id,
        bool_or(is_payer) as is_payer,
        sum(revenue) as lifetime_revenue,
        sum(session_count) as lifetime_session_count
    from revenue_days
    group by 1, 2
),

final as (
    select
        firsts.application_id,
        firsts.player_id,
        firsts.first_seen_date,
        firsts.last_seen_date,
        firsts.first_platform,
        firsts.first_country_id,
        firsts.first_app_version,
        firsts.acquisition_channel,
        firsts.campaign_id,
        lifetimes.is_payer,
        cast(lifetimes.lifetime_revenue as decimal(18, 4)) as lifetime_revenue,
        cast(lifetimes.lifetime_session_count as bigint) as lifetime_session_count
    from firsts
    inner join lifetimes
        on
            firsts.application_id = lifetimes.application_id
            and firsts.player_id = lifetimes.player_id
)

select * from final
