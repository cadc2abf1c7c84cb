{#
    decimal(18, 8) from text with a decimal point or comma, an exponent allowed; null if it is no number
    or as large as 10^10, so that no amount can overflow a model.
#}
{% macro parsed_amount(text) -%}
    {{ adapter.dispatch('parsed_amount')(text) }}
{%- endmacro %}

{% macro duckdb__parsed_amount(text) -%}
    {%- set number = "replace(trim(" ~ text ~ "), ',', '.')" -%}
    case
        when regexp_matches({{ number }}, '^[+-]?[0-9]{1,200}([.][0-9]{0,200})?([eE][+-]?[0-9]{1,2})?$')
            then try_cast({{ number }} as decimal(18, 8))
    end
{%- endmacro %}

{# As a double 9999999999.99999999 is 10^10: what fits is cast first, then compared exactly. #}
{% macro redshift__parsed_amount(text) -%}
    {%- set number = "replace(trim(" ~ text ~ "), ',', '.')" -%}
    {%- set exact -%}
        case
            when {{ number }} ~ '[eE]'
                then cast(cast({{ number }} as double precision) as decimal(28, 8))
            else cast({{ number }} as decimal(28, 8))
        end
    {%- endset -%}
    case
        when {{ number }} ~ '^[+-]?[0-9]+([.][0-9]*)?([eE][+-]?[0-9]{1,2})?$'
            then case
                when abs(cast({{ number }} as double precision)) < 10000000001
                    then case
                        when abs({{ exact }}) < 10000000000 then cast({{ exact }} as decimal(18, 8))
                    end
            end
    end
{%- endmacro %}
