{% macro ltv_columns(is_mature) -%}
    {%- set ltv = divided_exactly('cumulative_revenue', 'cohort_size', 4) -%}
    {%- set roas = ratio('cumulative_revenue', 'spend') %}
        case when {{ is_mature }} then cast({{ ltv }} as decimal(18, 4)) end as ltv,
        spend,
        case when {{ is_mature }} then {{ roas }} end as roas
{%- endmacro %}
