{#
    The delta method: the ratio varies as the mean of `numerator - ratio * denominator`
    divided by the mean of the denominator. Rounding must not make it negative.
#}
{% macro ratio_variance(
    ratio, mean_denominator, numerator_variance, denominator_variance, covariance
) -%}
    {%- set variance -%}
        (
            {{ numerator_variance }}
            - 2E00 * {{ ratio }} * {{ covariance }}
            + {{ ratio }} * {{ ratio }} * {{ denominator_variance }}
        )
    {%- endset -%}
    case
        when {{ variance }} > 0
            then {{ variance }} / ({{ mean_denominator }} * {{ mean_denominator }})
        when {{ variance }} <= 0 then 0
    end
{%- endmacro %}
