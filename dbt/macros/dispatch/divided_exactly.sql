{#
    DuckDB divides decimals as doubles, which rounds some ties in the wrong direction.
    It divides whole numbers exactly.
#}
{% macro divided_exactly(numerator, denominator, scale) -%}
    {{ adapter.dispatch('divided_exactly')(numerator, denominator, scale) }}
{%- endmacro %}

{% macro duckdb__divided_exactly(numerator, denominator, scale) -%}
    {%- set n -%}
        cast(cast({{ numerator }} as decimal(28, 8)) * 100000000 as hugeint)
    {%- endset -%}
    {%- set d -%}
        nullif(
            cast(cast({{ denominator }} as decimal(28, 8)) * 100000000 as hugeint), 0
        )
    {%- endset -%}
    cast(
        sign({{ n }}) * sign({{ d }})
        * ((2 * abs({{ n }}) * {{ 10 ** scale }} + abs({{ d }})) // (2 * abs({{ d }})))
        as decimal(28, 0)
    ) * 0.{{ '0' * (scale - 1) }}1
{%- endmacro %}

{#
    Redshift rounds every quotient to a scale that it chooses itself. All values here
    are whole numbers of at most 38 digits and the remainder is subtracted before the
    division, so there is nothing to round.
#}
{% macro redshift__divided_exactly(numerator, denominator, scale) -%}
    {%- set hundred_millions = "cast(100000000 as decimal(9, 0))" -%}
    {%- set n -%}
        cast(
            cast({{ numerator }} as decimal(28, 8)) * {{ hundred_millions }}
            as decimal(30, 0)
        )
    {%- endset -%}
    {%- set d -%}
        nullif(
            cast(
                cast({{ denominator }} as decimal(28, 8)) * {{ hundred_millions }}
                as decimal(30, 0)
            ),
            0
        )
    {%- endset -%}
    {%- set doubled -%}
        (
            abs({{ n }}) * cast({{ 2 * 10 ** scale }} as decimal({{ scale + 1 }}, 0))
            + abs({{ d }})
        )
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
