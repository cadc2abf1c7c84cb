{#
    The digits are moved as text, because a double keeps only 15 to 17 of them and
    Redshift makes no decimal of a text with an exponent. The fraction must not have
    more digits than the exponent moves.
#}
{% macro integer_text(number) -%}
    {%- set mantissa = "split_part(lower(" ~ number ~ "), 'e', 1)" -%}
    {%- set exponent = "cast('0' || replace(split_part(lower(" ~ number
        ~ "), 'e', 2), '+', '') as integer)" -%}
    {%- set fraction = "rtrim(split_part(" ~ mantissa ~ ", '.', 2), '0')" -%}
    case
        when replace(left({{ number }}, 2), '-', '') like '0%' then '0'
        when length({{ fraction }}) <= {{ exponent }}
            then split_part({{ mantissa }}, '.', 1)
                || rpad({{ fraction }}, {{ exponent }}, '0')
    end
{%- endmacro %}
