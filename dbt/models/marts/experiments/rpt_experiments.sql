{#
    A CTE with `distinct` removes no row, because each row has its key. Without it,
    Redshift and PostgreSQL put the expression of a column wherever a later CTE reads
    the column. The formulas read each column many times, so the query would be too
    large for the memory.
#}
with metrics as (
    select
        application_id,
        experiment_id,
        variant,
        metric,
        metric_kind,
        player_count,
        excluded_players,
        mature_players,
        numerator,
        denominator,
        covariate,
        value_cap,
        numerator_variance,
        denominator_variance,
        ratio_covariance,
        covariate_variance,
        covariate_covariance
    from {{ ref('int_experiment_metrics') }}
),

experiment_variants as (
    select
        experiment_id,
        variant,
        is_control,
        intended_weight
    from {{ ref('experiment_variants') }}
),

variants as (
    select
        application_id,
        experiment_id,
        variant,
        max(player_count) as player_count
    from metrics
    group by 1, 2, 3
),

listed_experiments as (
    select
        experiment_id,
        min(case when is_control then variant end) as listed_control
    from experiment_variants
    group by 1
),

controls as (
    select
        variants.application_id,
        variants.experiment_id,
        coalesce(
            max(listed_experiments.listed_control),
            max(case when variants.variant = 'control' then variants.variant end),
            min(case when variants.player_count > 0 then variants.variant end),
            min(variants.variant)
        ) as control_variant
    from variants
    left join listed_experiments
        on variants.experiment_id = listed_experiments.experiment_id
    group by 1, 2
),

{#
    A variant that the seed lists and no player has seen is part of the intended split.
    A variant that the seed does not list, of an experiment that it lists, is no part of
    it. Of an experiment that the seed does not list, the variants with players are.
#}
intended_variants as (
    select
        variants.application_id,
        variants.experiment_id,
        variants.variant,
        variants.player_count,
        case
            when listed_experiments.experiment_id is not null
                then coalesce(experiment_variants.intended_weight, 0)
            when variants.player_count > 0 then 1
            else 0
        end as weight
    from variants
    left join listed_experiments
        on variants.experiment_id = listed_experiments.experiment_id
    left join experiment_variants
        on
            variants.experiment_id = experiment_variants.experiment_id
            and variants.variant = experiment_variants.variant
    union all
    select
        controls.application_id,
        controls.experiment_id,
        experiment_variants.variant,
        0 as player_count,
        experiment_variants.intended_weight as weight
    from controls
    inner join experiment_variants
        on controls.experiment_id = experiment_variants.experiment_id
    left join variants
        on
            controls.application_id = variants.application_id
            and controls.experiment_id = variants.experiment_id
            and experiment_variants.variant = variants.variant
    where variants.variant is null
),

splits as (
    select
        application_id,
        experiment_id,
        sum(player_count) as player_count,
        sum(weight) as weight,
        count(*) - 1 as degrees_of_freedom
    from intended_variants
    where weight > 0
    group by 1, 2
),

expected_splits as (
    select
        intended_variants.application_id,
        intended_variants.experiment_id,
        cast(intended_variants.player_count as double precision) as player_count,
        cast(splits.player_count as double precision)
        * intended_variants.weight
        / cast(splits.weight as double precision) as expected_players,
        splits.degrees_of_freedom
    from intended_variants
    inner join splits
        on
            intended_variants.application_id = splits.application_id
            and intended_variants.experiment_id = splits.experiment_id
    where intended_variants.weight > 0
),

split_distances as (
    select
        *,
        player_count - expected_players as distance
    from expected_splits
),

split_terms as (
    select
        application_id,
        experiment_id,
        degrees_of_freedom,
        distance * distance / nullif(expected_players, 0) as term
    from split_distances
),

{#
    The terms are summed as decimals, because a sum of doubles depends on their order. A
    statistic above 1,400 counts as 1,400. Its p value is 0, and PostgreSQL fails when
    exp() underflows.
#}
split_sums as (
    select
        application_id,
        experiment_id,
        degrees_of_freedom,
        sum(cast(case when term > 1400 then 1400 else term end as decimal(30, 9)))
            as statistic
    from split_terms
    group by 1, 2, 3
),

split_statistics as (
    select distinct
        application_id,
        experiment_id,
        degrees_of_freedom,
        cast(
            case when statistic > 1400 then 1400 else statistic end as double precision
        ) as statistic
    from split_sums
),

split_tests as (
    select
        application_id,
        experiment_id,
        {{ chi_square_p('statistic', 'degrees_of_freedom') }} as srm_p_value
    from split_statistics
),

estimates as (
    select distinct
        *,
        {{ ratio('numerator', 'denominator') }} as mean,
        {{ ratio('covariate', 'mature_players') }} as mean_covariate,
        {{ ratio('denominator', 'mature_players') }} as mean_denominator
    from metrics
),

{# Fewer than 30 players say too little about the variance of a mean. #}
variances as (
    select distinct
        *,
        case
            when metric_kind = 'rate' then mean * (1 - mean)
            when metric_kind = 'mean' and mature_players >= 30
                then numerator_variance
            when mature_players >= 30
                then {{ ratio_variance(
                    'mean', 'nullif(mean_denominator, 0)', 'numerator_variance',
                    'denominator_variance', 'ratio_covariance'
                ) }}
        end as variance
    from estimates
),

errors as (
    select distinct
        *,
        variance / nullif(mature_players, 0) as squared_error
    from variances
),

pairs as (
    select
        errors.*,
        controls.control_variant,
        coalesce(errors.variant = controls.control_variant, false) as is_control,
        control.mean as control_mean,
        control.numerator as control_numerator,
        control.mature_players as control_players,
        control.squared_error as control_squared_error,
        control.mean_covariate as control_mean_covariate,
        control.numerator_variance as control_numerator_variance,
        control.covariate_variance as control_covariate_variance,
        control.covariate_covariance as control_covariate_covariance,
        cast(
            errors.mature_players + control.mature_players as double precision
        ) as pair_players,
        errors.mature_players >= 30 and control.mature_players >= 30 as is_large
    from errors
    inner join controls
        on
            errors.application_id = controls.application_id
            and errors.experiment_id = controls.experiment_id
    left join errors as control
        on
            controls.application_id = control.application_id
            and controls.experiment_id = control.experiment_id
            and controls.control_variant = control.variant
            and errors.metric = control.metric
            and errors.variant <> control.variant
),

{#
    The slope of CUPED (Deng et al., 2013) is that of both variants together. A ratio
    has no covariate, and neither has an experiment whose players are all new.
#}
slopes as (
    select distinct
        *,
        mean - control_mean as difference,
        case when control_mean > 0 then (mean - control_mean) / control_mean end
            as lift,
        nullif(squared_error + control_squared_error, 0) as pair_error,
        {{ ratio('numerator + control_numerator', 'pair_players') }} as pooled_rate,
        case
            when is_large and metric_kind <> 'ratio'
                then (
                    covariate_covariance * (mature_players - 1)
                    + control_covariate_covariance * (control_players - 1)
                ) / nullif(
                    covariate_variance * (mature_players - 1)
                    + control_covariate_variance * (control_players - 1),
                    0
                )
        end as slope
    from pairs
),

adjusted as (
    select distinct
        *,
        case
            when metric_kind = 'rate'
                then nullif(
                    pooled_rate * (1 - pooled_rate)
                    * (
                        {{ ratio('1', 'mature_players') }}
                        + {{ ratio('1', 'control_players') }}
                    ),
                    0
                )
            else pair_error
        end as tested_error,
        case
            when metric_kind <> 'rate'
                then {{ welch_df(
                    'squared_error', 'mature_players',
                    'control_squared_error', 'control_players'
                ) }}
        end as pair_df,
        nullif(
            case
                when control_mean > 0
                    then {{ lift_variance(
                        'mean', 'squared_error', 'control_mean',
                        'control_squared_error'
                    ) }}
            end,
            0
        ) as lift_error,
        difference - slope * (mean_covariate - control_mean_covariate)
            as cuped_difference,
        {{ adjusted_error(
            'slope', 'numerator_variance', 'covariate_variance',
            'covariate_covariance', 'mature_players'
        ) }} as cuped_squared_error,
        {{ adjusted_error(
            'slope', 'control_numerator_variance', 'control_covariate_variance',
            'control_covariate_covariance', 'control_players'
        ) }} as control_cuped_squared_error
    from slopes
),

degrees as (
    select distinct
        *,
        nullif(cuped_squared_error + control_cuped_squared_error, 0) as cuped_error,
        {{ welch_df(
            'cuped_squared_error', 'mature_players',
            'control_cuped_squared_error', 'control_players'
        ) }} as cuped_df
    from adjusted
),

statistics as (
    select distinct
        *,
        difference / sqrt(tested_error) as z,
        lift / sqrt(lift_error) as lift_z,
        cuped_difference / sqrt(cuped_error) as cuped_z,
        case
            when metric_kind = 'rate' then {{ normal_quantile() }}
            else {{ t_quantile('pair_df') }}
        end as quantile,
        {{ t_quantile('cuped_df') }} as cuped_quantile,
        case
            when is_large
                then {{ sequential_half_width('pair_error', 'pair_players') }}
        end as sequential_half_width,
        case
            when is_large
                then {{ sequential_p('difference', 'pair_error', 'pair_players') }}
        end as sequential_p_value
    from degrees
),

deviates as (
    select distinct
        *,
        case
            when metric_kind = 'rate' then z
            else {{ normal_deviate('z', 'pair_df') }}
        end as deviate,
        case
            when metric_kind = 'rate' then lift_z
            else {{ normal_deviate('lift_z', 'pair_df') }}
        end as lift_deviate,
        {{ normal_deviate('cuped_z', 'cuped_df') }} as cuped_deviate
    from statistics
),

final as (
    select
        deviates.application_id,
        deviates.experiment_id,
        deviates.variant,
        deviates.metric,
        deviates.is_control,
        deviates.control_variant,
        deviates.player_count as players,
        deviates.excluded_players,
        deviates.mature_players as n,
        deviates.numerator,
        deviates.denominator,
        deviates.value_cap,
        deviates.mean,
        sqrt(deviates.variance) as standard_deviation,
        deviates.control_mean,
        deviates.difference,
        deviates.difference - deviates.quantile * sqrt(deviates.pair_error)
            as difference_low,
        deviates.difference + deviates.quantile * sqrt(deviates.pair_error)
            as difference_high,
        deviates.z,
        cast({{ two_sided_p('deviates.deviate') }} as double precision) as p_value,
        deviates.lift,
        deviates.lift - deviates.quantile * sqrt(deviates.lift_error) as lift_low,
        deviates.lift + deviates.quantile * sqrt(deviates.lift_error) as lift_high,
        cast({{ two_sided_p('deviates.lift_deviate') }} as double precision)
            as lift_p_value,
        deviates.difference - deviates.sequential_half_width as sequential_low,
        deviates.difference + deviates.sequential_half_width as sequential_high,
        cast(deviates.sequential_p_value as double precision) as sequential_p_value,
        deviates.control_mean + deviates.cuped_difference as cuped_mean,
        deviates.cuped_difference,
        deviates.cuped_difference - deviates.cuped_quantile * sqrt(deviates.cuped_error)
            as cuped_difference_low,
        deviates.cuped_difference + deviates.cuped_quantile * sqrt(deviates.cuped_error)
            as cuped_difference_high,
        cast({{ two_sided_p('deviates.cuped_deviate') }} as double precision)
            as cuped_p_value,
        cast(split_tests.srm_p_value as double precision) as srm_p_value,
        coalesce(split_tests.srm_p_value < 0.001, false) as has_sample_ratio_mismatch
    from deviates
    left join split_tests
        on
            deviates.application_id = split_tests.application_id
            and deviates.experiment_id = split_tests.experiment_id
)

select * from final
