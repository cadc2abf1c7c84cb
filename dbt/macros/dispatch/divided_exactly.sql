{#
    numerator / denominator as a decimal with `scale` digits, rounded half away from zero from the exact quotient
    (both are taken with 8 decimals; below 10^14). Null where the denominator is zero or null.
    DuckDB divides decimals as doubles, which breaks ties the wrong way; whole numbers divide exactly.
#}
{% macro divided_exactly(numerator, denominator, scale) -%}
    {{ adapter.dispatch('divided_exactly')(numerator, denominator, scale) }}
{%- endmacro %}

{% macro duckdb__divided_exactly(numerator, denominator, scale) -%}
    {%- set n = "cast(cast(" ~ numerator ~ " as decimal(28, 8)) * 100000000 as hugeint)" -%}
    {%- set d = "nullif(cast(cast(" ~ denominator ~ " as decimal(28, 8)) * 100000000 as hugeint), 0)" -%}
    cast(
        sign({{ n }}) * sign({{ d }})
        * ((2 * abs({{ n }}) * {{ 10 ** scale }} + abs({{ d }})) // (2 * abs({{ d }})))
        as decimal(28, 0)
    ) * 0.{{ '0' * (scale - 1) }}1
{%- endmacro %}

{% macro redshift__divided_exactly(numerator, denominator, scale) -%}
    cast(
        round(cast({{ numerator }} as decimal(28, 8)) / nullif(cast({{ denominator }} as decimal(28, 8)), 0), {{ scale }})
        as decimal(38, {{ scale }})
    )
{%- endmacro %}
