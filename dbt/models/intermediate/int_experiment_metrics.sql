{#
    Revenue is limited to 10^11 on both sides, so that no sum of squares overflows
    decimal(38, 8). The covariate of retention is the active days before the exposure,
    and that of conversion and revenue is the revenue before it. A ratio has none.
#}
{%- set metrics = [
    {
        'name': 'retention_1', 'kind': 'rate', 'window_days': 1,
        'numerator': 'case when is_active_on_1 then 1 else 0 end',
        'covariate': 'active_days_before',
    },
    {
        'name': 'retention_7', 'kind': 'rate', 'window_days': 7,
        'numerator': 'case when is_active_on_7 then 1 else 0 end',
        'covariate': 'active_days_before',
    },
    {
        'name': 'conversion', 'kind': 'rate', 'window_days': 7,
        'numerator': 'case when is_payer then 1 else 0 end',
        'covariate': 'revenue_before',
    },
    {
        'name': 'revenue_per_player', 'kind': 'mean', 'window_days': 7,
        'numerator': 'revenue',
        'covariate': 'revenue_before',
    },
    {
        'name': 'revenue_per_payer', 'kind': 'ratio', 'window_days': 7,
        'numerator': 'case when is_payer then revenue else 0 end',
        'denominator': 'case when is_payer then 1 else 0 end',
    },
    {
        'name': 'sessions_per_active_day', 'kind': 'ratio', 'window_days': 7,
        'numerator': 'session_count',
        'denominator': 'active_days',
    },
] -%}
{%- set limit = 'cast(99999999999 as decimal(18, 4))' -%}

{%- set parts = ['numerator', 'denominator', 'covariate'] -%}
{%- set products = [
    ('numerator', 'numerator', 'numerator_variance'),
    ('denominator', 'denominator', 'denominator_variance'),
    ('numerator', 'denominator', 'ratio_covariance'),
    ('covariate', 'covariate', 'covariate_variance'),
    ('numerator', 'covariate', 'covariate_covariance'),
] -%}

with experiment_players as (
    select
        application_id,
        experiment_id,
        variant,
        exposure_date,
        second_variant_date,
        is_active_on_1,
        is_active_on_7,
        is_payer,
        session_count,
        active_days,
        active_days_before,
        cast(
            case
                when revenue > {{ limit }} then {{ limit }}
                when revenue < -{{ limit }} then -{{ limit }}
                else revenue
            end as decimal(16, 4)
        ) as revenue,
        cast(
            case
                when revenue_before > {{ limit }} then {{ limit }}
                when revenue_before < -{{ limit }} then -{{ limit }}
                else revenue_before
            end as decimal(16, 4)
        ) as revenue_before
    from {{ ref('int_experiment_players') }}
    where {{ filter_changed_keys() }}
),

as_of_days as (
    select
        application_id,
        max(activity_date) as as_of_date
    from {{ ref('int_application_days') }}
    group by 1
),

exposed_players as (
    select
        experiment_players.*,
        coalesce(
            experiment_players.second_variant_date <= as_of_days.as_of_date, false
        ) as is_excluded,
        experiment_players.exposure_date + 1 <= as_of_days.as_of_date as is_mature_1,
        experiment_players.exposure_date + 7 <= as_of_days.as_of_date as is_mature_7
    from experiment_players
    inner join as_of_days
        on
            experiment_players.application_id = as_of_days.application_id
            and experiment_players.exposure_date <= as_of_days.as_of_date
),

excluded_players as (
    select
        application_id,
        experiment_id,
        sum(case when is_excluded then 1 else 0 end) as player_count
    from exposed_players
    group by 1, 2
),

variants as (
    select
        application_id,
        experiment_id,
        variant,
        sum(case when is_excluded then 0 else 1 end) as player_count
    from exposed_players
    group by 1, 2, 3
),

{#
    The cap is the 99.9th percentile by nearest rank of the revenues that are not 0, of
    all variants together. Refunds can make it negative; it then is 0.
#}
ranked_revenues as (
    select
        application_id,
        experiment_id,
        revenue,
        row_number() over (
            partition by application_id, experiment_id
            order by revenue
        ) as revenue_rank,
        count(*) over (partition by application_id, experiment_id) as revenue_count
    from exposed_players
    where is_mature_7 and not is_excluded and revenue <> 0
),

caps as (
    select
        application_id,
        experiment_id,
        min(
            case when revenue_rank * 1000 >= revenue_count * 999 then revenue end
        ) as percentile
    from ranked_revenues
    group by 1, 2
),

revenue_caps as (
    select
        application_id,
        experiment_id,
        cast(
            case when percentile > 0 then percentile else 0 end as decimal(16, 4)
        ) as revenue_cap
    from caps
),

counted_players as (
    select
        exposed_players.application_id,
        exposed_players.experiment_id,
        exposed_players.variant,
        exposed_players.is_active_on_1,
        exposed_players.is_active_on_7,
        exposed_players.is_payer,
        exposed_players.session_count,
        exposed_players.active_days,
        exposed_players.active_days_before,
        exposed_players.revenue_before,
        exposed_players.is_mature_1,
        exposed_players.is_mature_7,
        case
            when exposed_players.revenue > revenue_caps.revenue_cap
                then revenue_caps.revenue_cap
            else exposed_players.revenue
        end as revenue
    from exposed_players
    left join revenue_caps
        on
            exposed_players.application_id = revenue_caps.application_id
            and exposed_players.experiment_id = revenue_caps.experiment_id
    where not exposed_players.is_excluded
),

player_values as (
    {% for metric in metrics -%}
        select
            application_id,
            experiment_id,
            variant,
            '{{ metric.name }}' as metric,
            cast({{ metric.numerator }} as decimal(16, 4)) as numerator,
            cast({{ metric.denominator or 1 }} as decimal(16, 4)) as denominator,
            cast({{ metric.covariate or 0 }} as decimal(16, 4)) as covariate
        from counted_players
        where is_mature_{{ metric.window_days }}
        {{ "union all" if not loop.last }}
    {% endfor %}
),

totals as (
    select
        application_id,
        experiment_id,
        variant,
        metric,
        {% for part in parts -%}
            sum({{ part }}) as {{ part }},
        {% endfor -%}
        count(*) as player_count
    from player_values
    group by 1, 2, 3, 4
),

centres as (
    select
        application_id,
        experiment_id,
        variant,
        {% for part in parts -%}
            cast({{ divided_exactly(part, 'player_count', 4) }} as decimal(16, 4))
                as {{ part }},
        {% endfor -%}
        metric
    from totals
),

{#
    Variances are made of exact sums of distances from the rounded mean. The square of a
    sum, subtracted from a sum of squares, would leave few digits where the mean is much
    larger than the spread.
#}
distances as (
    select
        player_values.application_id,
        player_values.experiment_id,
        player_values.variant,
        {% for part in parts -%}
            cast(player_values.{{ part }} - centres.{{ part }} as decimal(16, 4))
                as {{ part }},
        {% endfor -%}
        player_values.metric
    from player_values
    inner join centres
        on
            player_values.application_id = centres.application_id
            and player_values.experiment_id = centres.experiment_id
            and player_values.variant = centres.variant
            and player_values.metric = centres.metric
),

sums as (
    select
        application_id,
        experiment_id,
        variant,
        metric,
        {% for part in parts -%}
            sum({{ part }}) as {{ part }},
        {% endfor -%}
        {% for one, other, name in products -%}
            sum(cast({{ one }} as decimal(20, 4)) * {{ other }}) as {{ name }},
        {% endfor -%}
        count(*) as player_count
    from distances
    group by 1, 2, 3, 4
),

spreads as (
    select
        application_id,
        experiment_id,
        variant,
        {% for one, other, name in products -%}
            (
                {{ to_double(name) }}
                - {{ to_double(one) }} * {{ to_double(other) }} / player_count
            ) / nullif(player_count - 1, 0) as {{ name }},
        {% endfor -%}
        metric
    from sums
),

metrics as (
    {% for metric in metrics -%}
        select
            '{{ metric.name }}' as metric,
            '{{ metric.kind }}' as metric_kind,
            {{ 'revenue' in metric.numerator }} as has_cap
        {{ "union all" if not loop.last }}
    {% endfor %}
),

final as (
    select
        variants.application_id,
        variants.experiment_id,
        variants.variant,
        metrics.metric,
        metrics.metric_kind,
        cast(variants.player_count as bigint) as player_count,
        cast(excluded_players.player_count as bigint) as excluded_players,
        cast(coalesce(totals.player_count, 0) as bigint) as mature_players,
        cast(coalesce(totals.numerator, 0) as decimal(38, 4)) as numerator,
        cast(coalesce(totals.denominator, 0) as decimal(38, 4)) as denominator,
        cast(coalesce(totals.covariate, 0) as decimal(38, 4)) as covariate,
        {% for _, _, name in products -%}
            spreads.{{ name }},
        {% endfor -%}
        case when metrics.has_cap then revenue_caps.revenue_cap end as value_cap
    from variants
    inner join excluded_players
        on
            variants.application_id = excluded_players.application_id
            and variants.experiment_id = excluded_players.experiment_id
    cross join metrics
    left join totals
        on
            variants.application_id = totals.application_id
            and variants.experiment_id = totals.experiment_id
            and variants.variant = totals.variant
            and metrics.metric = totals.metric
    left join spreads
        on
            variants.application_id = spreads.application_id
            and variants.experiment_id = spreads.experiment_id
            and variants.variant = spreads.variant
            and metrics.metric = spreads.metric
    left join revenue_caps
        on
            variants.application_id = revenue_caps.application_id
            and variants.experiment_id = revenue_caps.experiment_id
)

select * from final
