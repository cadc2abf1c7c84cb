{#
    decimal(18, 8) from text with a decimal point or comma, an exponent allowed; null if it is no number
    or as large as 10^10, so that no amount can overflow a model.
#}
{% macro parsed_amount(text) -%}
    {{ adapter.dispatch('parsed_amount')(text) }}
{%- endmacro %}

{% macro duckdb__parsed_amount(text) -%}
    {%- set number = "replace(" ~ trimmed(text) ~ ", ',', '.')" -%}
    case
        when regexp_matches({{ number }}, '^[+-]?[0-9]{1,200}([.][0-9]{0,200})?([eE][+-]?[0-9]{1,2})?$')
            then try_cast({{ number }} as decimal(18, 8))
    end
{%- endmacro %}

{#
    As a double 9999999999.99999999 is 10^10: what fits is cast first, then compared exactly. Twenty decimals
    are read and then rounded, since Redshift does not say whether a cast of text does.
#}
{% macro redshift__parsed_amount(text) -%}
    {%- set number = "replace(" ~ trimmed(text) ~ ", ',', '.')" -%}
    {%- set exact -%}
        round(
            case
                when {{ number }} ~ '[eE]'
                    then cast(cast({{ number }} as double precision) as decimal(38, 20))
                else cast({{ number }} as decimal(38, 20))
            end,
            8
        )
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
