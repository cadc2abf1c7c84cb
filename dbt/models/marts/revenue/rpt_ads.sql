with ad_impressions as (
    select
        application_id,
        event_date as impression_date,
        player_id,
        coalesce(placement, 'Unknown') as placement,
        currency,
        amount
    from {{ ref('int_money_events') }}
    where
        event_type = 'ad_impression'
        and player_id is not null
        and {{ filter_changed_keys(['event_date']) }}
),

exchange_rates as (
    select
        rate_date,
        currency,
        rate
    from {{ ref('int_exchange_rates') }}
),

application_days as (
    select
        application_id,
        kpi_date as impression_date,
        dau
    from {{ ref('rpt_daily_kpis') }}
    where {{ filter_changed_keys(['kpi_date']) }}
),

converted as (
    select
        ad_impressions.application_id,
        ad_impressions.impression_date,
        ad_impressions.player_id,
        ad_impressions.placement,
        {{ to_reporting_currency(
            'ad_impressions.amount', 'ad_impressions.currency', 'exchange_rates.rate'
        ) }} as revenue
    from ad_impressions
    left join exchange_rates
        on
            ad_impressions.currency = exchange_rates.currency
            and ad_impressions.impression_date = exchange_rates.rate_date
),

player_placements as (
    select
        application_id,
        impression_date,
        player_id,
        placement,
        count(*) as impressions,
        sum(revenue) as revenue,
        sum(case when revenue is null then 1 else 0 end) as missing_rate_count
    from converted
    group by 1, 2, 3, 4
),

{#
    The ad revenue of a player's day is rounded once, in fct_player_days. A placement
    gets the difference of two rounded running sums over the player's placements, so the
    placements of the day sum to that ad revenue.
#}
running_revenue as (
    select
        application_id,
        impression_date,
        player_id,
        placement,
        impressions,
        missing_rate_count,
        sum(revenue) over (
            partition by application_id, impression_date, player_id
            order by placement
            rows between unbounded preceding and current row
        ) as revenue_until,
        sum(revenue) over (
            partition by application_id, impression_date, player_id
            order by placement
            rows between unbounded preceding and 1 preceding
        ) as revenue_before
    from player_placements
),

rounded_placements as (
    select
        application_id,
        impression_date,
        placement,
        impressions,
        missing_rate_count,
        coalesce({{ rounded_money('revenue_until') }}, 0)
        - coalesce({{ rounded_money('revenue_before') }}, 0) as revenue
    from running_revenue
),

placements as (
    select
        application_id,
        impression_date,
        placement,
        cast(sum(impressions) as bigint) as impressions,
        cast(count(*) as bigint) as players,
        cast(sum(revenue) as decimal(18, 4)) as revenue,
        cast(sum(missing_rate_count) as bigint) as missing_rate_count
    from rounded_placements
    group by 1, 2, 3
),

final as (
    select
        placements.application_id,
        placements.impression_date,
        placements.placement,
        placements.impressions,
        placements.players,
        application_days.dau,
        {{ ratio('placements.impressions', 'application_days.dau') }}
            as impressions_per_dau,
        {{ ratio('placements.players', 'application_days.dau') }} as engagement_rate,
        {{ ratio('placements.impressions', 'placements.players') }}
            as impressions_per_player,
        placements.revenue,
        cast(
            {{ divided_exactly(
                'cast(placements.revenue as decimal(24, 4)) * 1000',
                'placements.impressions', 4
            ) }}
            as decimal(22, 4)
        ) as ecpm,
        placements.missing_rate_count
    from placements
    inner join application_days
        on
            placements.application_id = application_days.application_id
            and placements.impression_date = application_days.impression_date
)

select * from final
