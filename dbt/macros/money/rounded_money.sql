{#
    A cast alone rounds on DuckDB. On Redshift it cuts off the further decimals of a
    value that comes from a table.
#}
{% macro rounded_money(value) -%}
    cast(round({{ value }}, 4) as decimal(18, 4))
{%- endmacro %}
