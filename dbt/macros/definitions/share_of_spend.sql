{#
    Marketing spend names no application, so the cohorts of its day and channel, or of
    its day and campaign, share it in proportion to their installs.
#}
{% macro share_of_spend(spend, cohort_size, install_count) -%}
    cast(
            {{ divided_exactly(spend ~ ' * ' ~ cohort_size, install_count, 4) }}
            as decimal(18, 4)
        )
{%- endmacro %}
