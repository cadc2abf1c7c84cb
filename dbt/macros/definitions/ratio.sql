{# A rate as double precision; null where the denominator is zero or null. #}
{% macro ratio(numerator, denominator) -%}
    cast({{ numerator }} as double precision)
    / nullif(cast({{ denominator }} as double precision), 0)
{%- endmacro %}
