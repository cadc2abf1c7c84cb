{# LTV, spend and ROAS of a cohort; LTV and ROAS are null until the cohort is mature. #}
{% macro lifetime_values(is_mature) %}
        case
            when {{ is_mature }}
                then cast(
                    {{ divided_exactly('cumulative_revenue', 'cohort_size', 4) }} as decimal(18, 4)
                )
        end as ltv,
        spend,
        case when {{ is_mature }} then {{ ratio('cumulative_revenue', 'spend') }} end as roas
{%- endmacro %}
