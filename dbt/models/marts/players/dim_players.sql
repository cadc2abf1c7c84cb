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
        campaign_id,
        cast(activity_date as varchar(10)) as activity_day
    from {{ ref('int_player_days') }}
    where {{ filter_changed_keys() }}
),

revenue_days as (
    select
        application_id,
        player_id,
        session_count,
        is_payer,
        revenue
    from {{ ref('fct_player_days') }}
    where {{ filter_changed_keys() }}
),

first_values as (
    select
        application_id,
        player_id,
        min(case when is_active then activity_date end) as first_seen_date,
        max(case when is_active then activity_date end) as last_seen_date,
        {{ first_known('platform', 'activity_day', 10) }} as first_platform,
        {{ first_known('country_id', 'activity_day', 10) }} as first_country_id,
        {{ first_known('app_version', 'activity_day', 10) }} as first_app_version,
        {{ first_known('acquisition_channel', 'activity_day', 10) }}
            as acquisition_channel,
        {{ first_known('campaign_id', 'activity_day', 10) }} as campaign_id
    from player_days
    group by 1, 2
),

lifetime_totals as (
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
        first_values.application_id,
        first_values.player_id,
        first_values.first_seen_date,
        first_values.last_seen_date,
        first_values.first_platform,
        first_values.first_country_id,
        first_values.first_app_version,
        first_values.acquisition_channel,
        first_values.campaign_id,
        lifetime_totals.is_payer,
        cast(lifetime_totals.lifetime_revenue as decimal(18, 4)) as lifetime_revenue,
        cast(lifetime_totals.lifetime_session_count as bigint) as lifetime_session_count
    from first_values
    inner join lifetime_totals
        on
            first_values.application_id = lifetime_totals.application_id
            and first_values.player_id = lifetime_totals.player_id
)

select * from final
