{#
    A row does not depend on the as-of day. The reader counts a player once the window
    has ended, and excludes a player from the day of a second variant on.
#}
with exposures as (
    select
        application_id,
        experiment_id,
        player_id,
        variant,
        exposure_date,
        first_exposure_timestamp
    from {{ ref('int_experiment_exposures') }}
    where {{ filter_changed_keys() }}
),

player_days as (
    select
        application_id,
        player_id,
        activity_date,
        is_active,
        is_payer,
        session_count,
        revenue
    from {{ ref('fct_player_days') }}
    where {{ filter_changed_keys() }}
),

ranked_exposures as (
    select
        *,
        row_number() over (
            partition by application_id, experiment_id, player_id
            order by first_exposure_timestamp, variant
        ) as exposure_order
    from exposures
),

first_exposures as (
    select
        application_id,
        experiment_id,
        player_id,
        variant,
        exposure_date
    from ranked_exposures
    where exposure_order = 1
),

other_variants as (
    select
        exposures.application_id,
        exposures.experiment_id,
        exposures.player_id,
        min(exposures.exposure_date) as second_variant_date
    from exposures
    inner join first_exposures
        on
            exposures.application_id = first_exposures.application_id
            and exposures.experiment_id = first_exposures.experiment_id
            and exposures.player_id = first_exposures.player_id
            and exposures.variant <> first_exposures.variant
    group by 1, 2, 3
),

days_since_exposure as (
    select
        first_exposures.application_id,
        first_exposures.experiment_id,
        first_exposures.player_id,
        player_days.activity_date - first_exposures.exposure_date as age_days,
        player_days.is_active,
        player_days.is_payer,
        player_days.session_count,
        player_days.revenue
    from first_exposures
    inner join player_days
        on
            first_exposures.application_id = player_days.application_id
            and first_exposures.player_id = player_days.player_id
            and player_days.activity_date >= first_exposures.exposure_date - 14
            and player_days.activity_date <= first_exposures.exposure_date + 7
),

windows as (
    select
        application_id,
        experiment_id,
        player_id,
        max(case when is_active and age_days = 1 then 1 else 0 end) as is_active_on_1,
        max(case when is_active and age_days = 7 then 1 else 0 end) as is_active_on_7,
        max(case when is_payer and age_days >= 0 then 1 else 0 end) as is_payer,
        sum(case when age_days >= 0 then revenue else 0 end) as revenue,
        sum(case when age_days >= 0 then session_count else 0 end) as session_count,
        sum(case when is_active and age_days >= 0 then 1 else 0 end) as active_days,
        sum(case when age_days < 0 then revenue else 0 end) as revenue_before,
        sum(case when is_active and age_days < 0 then 1 else 0 end)
            as active_days_before
    from days_since_exposure
    group by 1, 2, 3
),

final as (
    select
        first_exposures.application_id,
        first_exposures.experiment_id,
        first_exposures.player_id,
        first_exposures.variant,
        first_exposures.exposure_date,
        other_variants.second_variant_date,
        coalesce(windows.is_active_on_1, 0) = 1 as is_active_on_1,
        coalesce(windows.is_active_on_7, 0) = 1 as is_active_on_7,
        coalesce(windows.is_payer, 0) = 1 as is_payer,
        cast(coalesce(windows.revenue, 0) as decimal(18, 4)) as revenue,
        cast(coalesce(windows.session_count, 0) as bigint) as session_count,
        cast(coalesce(windows.active_days, 0) as bigint) as active_days,
        cast(coalesce(windows.revenue_before, 0) as decimal(18, 4)) as revenue_before,
        cast(coalesce(windows.active_days_before, 0) as bigint) as active_days_before
    from first_exposures
    left join other_variants
        on
            first_exposures.application_id = other_variants.application_id
            and first_exposures.experiment_id = other_variants.experiment_id
            and first_exposures.player_id = other_variants.player_id
    left join windows
        on
            first_exposures.application_id = windows.application_id
            and first_exposures.experiment_id = windows.experiment_id
            and first_exposures.player_id = windows.player_id
)

select * from final
