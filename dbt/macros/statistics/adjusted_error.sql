{#
    The variance of the mean of `value - slope * covariate`. Rounding must not make it
    negative.
#}
{% macro adjusted_error(
    slope, variance, covariate_variance, covariance, player_count
) -%}
    {%- set adjusted -%}
        (
            {{ variance }}
            - 2E00 * {{ slope }} * {{ covariance }}
            + {{ slope }} * {{ slope }} * {{ covariate_variance }}
        )
    {%- endset -%}
    case
        when {{ adjusted }} > 0 then {{ adjusted }} / {{ player_count }}
        when {{ adjusted }} <= 0 then 0
    end
{%- endmacro %}
