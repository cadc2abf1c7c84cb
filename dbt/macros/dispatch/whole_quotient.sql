{#
    How often a positive whole number fits into another one. DuckDB divides decimals as
    doubles, and whole numbers exactly. Redshift rounds a quotient to a scale that it
    chooses itself, so there the remainder is subtracted first.
#}
{% macro whole_quotient(numerator, denominator) -%}
    {{ adapter.dispatch('whole_quotient')(numerator, denominator) }}
{%- endmacro %}

{% macro duckdb__whole_quotient(numerator, denominator) -%}
    {{ numerator }} // {{ denominator }}
{%- endmacro %}

{% macro redshift__whole_quotient(numerator, denominator) -%}
    cast(
        cast(
            {{ numerator }} - mod({{ numerator }}, {{ denominator }}) as decimal(38, 0)
        ) / {{ denominator }}
        as decimal(38, 0)
    )
{%- endmacro %}
