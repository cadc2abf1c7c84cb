with kpis as (
    select
        application_id,
        kpi_date,
        dau,
        wau,
        mau,
        stickiness,
        new_players,
        returning_players,
        session_count,
        sessions_per_dau,
        playtime_seconds,
        iap_revenue,
        ad_revenue,
        refunds,
        revenue,
        payers,
        first_time_payers,
        payer_conversion,
        arpdau,
        arppu
    from {{ ref('int_kpis_by_segment') }}
    where segment_name = 'all' and {{ filter_changed_keys() }}
)

select * from kpis
