{#
    DuckDB makes a decimal of a product with a decimal, which cannot be divided in whole
    numbers. On Redshift the factor's type decides how many digits the product may have.
#}
{% macro whole_product(value, factor) -%}
    {{ adapter.dispatch('whole_product')(value, factor) }}
{%- endmacro %}

{% macro duckdb__whole_product(value, factor) -%}
    {{ value }} * {{ factor }}
{%- endmacro %}

{% macro redshift__whole_product(value, factor) -%}
    cast({{ value }} as decimal(28, 0))
    * cast({{ factor }} as decimal({{ factor | string | length }}, 0))
{%- endmacro %}
