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

{#
    Redshift rounds a quotient at a scale of its own before anybody can. Without a remainder there is nothing to
    round: all of it in whole numbers, of at most 38 digits.
#}
{% macro redshift__divided_exactly(numerator, denominator, scale) -%}
    {%- set hundred_millions = "cast(100000000 as decimal(9, 0)) as decimal(30, 0))" -%}
    {%- set n = "cast(cast(" ~ numerator ~ " as decimal(28, 8)) * " ~ hundred_millions -%}
    {%- set d = "nullif(cast(cast(" ~ denominator ~ " as decimal(28, 8)) * " ~ hundred_millions ~ ", 0)" -%}
    {%- set doubled -%}
        (abs({{ n }}) * cast({{ 2 * 10 ** scale }} as decimal({{ scale + 1 }}, 0)) + abs({{ d }}))
    {%- endset -%}
    cast(
        case when ({{ n }} < 0) <> ({{ d }} < 0) then -1 else 1 end
        * (
            cast({{ doubled }} - mod({{ doubled }}, 2 * abs({{ d }})) as decimal(38, 0))
            / (2 * abs({{ d }}))
        )
        as decimal(28, 0)
    ) * cast(0.{{ '0' * (scale - 1) }}1 as decimal({{ scale + 1 }}, {{ scale }}))
{%- endmacro %}
