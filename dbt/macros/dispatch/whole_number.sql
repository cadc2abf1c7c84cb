{#
    The digits of a decimal without its point. A product with a power of ten would have
    more digits than an engine holds.
#}
{% macro whole_number(value) -%}
    {{ adapter.dispatch('whole_number')(value) }}
{%- endmacro %}

{% macro duckdb__whole_number(value) -%}
    cast(replace(cast({{ value }} as varchar), '.', '') as hugeint)
{%- endmacro %}

{% macro redshift__whole_number(value) -%}
    cast(replace(cast({{ value }} as varchar(64)), '.', '') as decimal(38, 0))
{%- endmacro %}
