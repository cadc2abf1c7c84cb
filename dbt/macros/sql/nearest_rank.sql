{#
    The comparison of whole numbers is exact. An interpolated percentile would depend on
    how an engine rounds doubles.
#}
{% macro nearest_rank(value, rank, count, percent) -%}
    min(case when {{ rank }} * 100 >= {{ count }} * {{ percent }} then {{ value }} end)
{%- endmacro %}
