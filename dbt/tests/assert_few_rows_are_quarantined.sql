-- Of the rows of the ledger and of costs, by source and day, at most the share
-- largest_quarantined_share is quarantined. The reasons are in fct_quarantined_rows:
-- correct the files, add a missing type to the seed transaction_types, or raise the
-- variable in dbt/dbt_project.yml if so many faults are usual.
{#
    These dependencies make dbt build the reports before it runs this test. All other
    rows count in the reports, so a failure must not stop them.
#}
-- depends_on: {{ ref('rpt_betting') }}
-- depends_on: {{ ref('rpt_ltv_overall') }}
-- depends_on: {{ ref('dim_games') }}
-- depends_on: {{ ref('dim_ledger_players') }}
{% set days = tested_days('model.game_analytics.int_lake_days') %}
with quarantined_rows as (
    select
        source_name,
        partition_day,
        count(*) as quarantined_count
    from {{ ref('fct_quarantined_rows') }}
    where partition_day is null or {{ filter_days('partition_day', days) }}
    group by 1, 2
),

delivered_rows as (
    select
        source_name,
        health_date as partition_day,
        landed_count as row_count
    from {{ ref('rpt_data_health') }}
    where
        source_name = 'game_transactions'
        and {{ filter_days('health_date', days) }}
    {% for name in [
        'currency_exchange', 'games', 'game_providers', 'game_categories', 'players'
    ] -%}
        union all
        select
            '{{ name }}' as source_name,
            cast(null as date) as partition_day,
            count(*) as row_count
        from {{ source('ledger', name) }}
    {% endfor -%}
    union all
    select
        'marketing_spend' as source_name,
        cast(null as date) as partition_day,
        count(*) as row_count
    from {{ source('marketing', 'marketing_spend') }}
)

select
    quarantined_rows.source_name,
    quarantined_rows.partition_day,
    quarantined_rows.quarantined_count,
    delivered_rows.row_count,
    'see fct_quarantined_rows for the reasons and correct the files' as remedy
from quarantined_rows
inner join delivered_rows
    on
        quarantined_rows.source_name = delivered_rows.source_name
        and (
            quarantined_rows.partition_day = delivered_rows.partition_day
            or delivered_rows.partition_day is null
        )
where
    quarantined_rows.quarantined_count
    > delivered_rows.row_count * {{ var('largest_quarantined_share') }}
