{#
    The point is moved in a text that has 99 zeros on both sides, because both engines
    would read a number with an exponent as a double.
#}
{% macro without_exponent(number) -%}
    {%- set mantissa -%}
        split_part(lower({{ number }}), 'e', 1)
    {%- endset -%}
    {%- set exponent -%}
        cast(replace(split_part(lower({{ number }}), 'e', 2), '+', '') as integer)
    {%- endset -%}
    {%- set unsigned -%}
        replace(replace({{ mantissa }}, '-', ''), '+', '')
    {%- endset -%}
    {%- set zeros = "'" ~ '0' * 99 ~ "'" -%}
    {%- set digits -%}
        {{ zeros }} || replace({{ unsigned }}, '.', '') || {{ zeros }}
    {%- endset -%}
    {%- set place -%}
        (length(split_part({{ unsigned }}, '.', 1)) + 99 + {{ exponent }})
    {%- endset -%}
    case when left({{ mantissa }}, 1) = '-' then '-' else '' end
    || '0' || ltrim(left({{ digits }}, {{ place }}), '0')
    || '.' || substring({{ digits }}, {{ place }} + 1, 40)
{%- endmacro %}
