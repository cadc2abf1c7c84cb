{#
    A decimal of more than 15 digits is cast in two parts. DuckDB rounds a longer one
    twice, so the two engines would differ in the last digit.
#}
{% macro to_double(value) -%}
    (
        cast(cast({{ value }} as decimal(30, 0)) as double precision)
        + cast({{ value }} - cast({{ value }} as decimal(30, 0)) as double precision)
    )
{%- endmacro %}
