with daily_kpis as (
    select
        application_id,
        kpi_date,
        new_players,
        session_count,
        playtime_seconds,
        iap_revenue,
        ad_revenue,
        refunds,
        revenue,
        first_time_payers
    from {{ ref('rpt_daily_kpis') }}
),

flows as (
    select
        application_id,
        activity_date,
        players_first_in_month,
        payers_first_in_month
    from {{ ref('int_player_flows') }}
),

as_of_days as (
    select
        application_id,
        max(kpi_date) as as_of_date
    from daily_kpis
    group by 1
),

months as (
    select
        daily_kpis.application_id,
        cast(date_trunc('month', daily_kpis.kpi_date) as date) as kpi_month,
        cast(sum(coalesce(flows.players_first_in_month, 0)) as bigint) as mau,
        cast(sum(coalesce(flows.payers_first_in_month, 0)) as bigint) as payers,
        cast(sum(daily_kpis.new_players) as bigint) as new_players,
        cast(sum(daily_kpis.first_time_payers) as bigint) as first_time_payers,
        cast(sum(daily_kpis.session_count) as bigint) as session_count,
        cast(sum(daily_kpis.playtime_seconds) as bigint) as playtime_seconds,
        cast(sum(daily_kpis.iap_revenue) as decimal(18, 4)) as iap_revenue,
        cast(sum(daily_kpis.ad_revenue) as decimal(18, 4)) as ad_revenue,
        cast(sum(daily_kpis.refunds) as decimal(18, 4)) as refunds,
        cast(sum(daily_kpis.revenue) as decimal(18, 4)) as revenue
    from daily_kpis
    left join flows
        on
            daily_kpis.application_id = flows.application_id
            and daily_kpis.kpi_date = flows.activity_date
    group by 1, 2
),

{# A month has ended if the day after the as-of day is in a later one. #}
dated_months as (
    select
        months.*,
        cast(date_trunc('month', as_of_days.as_of_date + 1) as date)
        > months.kpi_month as is_complete
    from months
    inner join as_of_days
        on months.application_id = as_of_days.application_id
),

final as (
    select
        application_id,
        kpi_month,
        mau,
        new_players,
        payers,
        first_time_payers,
        case when is_complete then {{ ratio('payers', 'mau') }} end as payer_conversion,
        session_count,
        playtime_seconds,
        iap_revenue,
        ad_revenue,
        refunds,
        revenue,
        case
            when is_complete
                then cast({{ divided_exactly('revenue', 'mau', 4) }} as decimal(18, 4))
        end as arpmau,
        case
            when is_complete
                then
                    cast(
                        {{ divided_exactly('iap_revenue', 'payers', 4) }}
                        as decimal(18, 4)
                    )
        end as arppu,
        is_complete
    from dated_months
)

select * from final
