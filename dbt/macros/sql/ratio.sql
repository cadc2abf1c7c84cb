{# A numerator of 0 over a negative denominator is -0.0, and adding 0 makes it 0.0. #}
{% macro ratio(numerator, denominator) -%}
    (
        cast({{ numerator }} as double precision)
        / nullif(cast({{ denominator }} as double precision), 0)
        + 0
    )
{%- endmacro %}
