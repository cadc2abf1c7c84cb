{#
    Money as decimal(18, 4), rounded half away from zero. A cast alone rounds on DuckDB, but Redshift cuts
    off the digits of a value that comes from a table.
#}
{% macro rounded_money(value) -%}
    cast(round({{ value }}, 4) as decimal(18, 4))
{%- endmacro %}
