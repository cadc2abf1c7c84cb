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
            and abs(try_cast({{ number }} as double)) < 10000000000
            then try_cast({{ number }} as decimal(18, 8))
    end
{%- endmacro %}

{% macro redshift__parsed_amount(text) -%}
    {%- set number = "replace(trim(" ~ text ~ "), ',', '.')" -%}
    case
        when {{ number }} ~ '^[+-]?[0-9]+([.][0-9]*)?([eE][+-]?[0-9]{1,2})?$'
            then case
                when abs(cast({{ number }} as double precision)) < 10000000000
                    then case
                        when {{ number }} ~ '[eE]'
                            then cast(cast({{ number }} as double precision) as decimal(18, 8))
                        else cast({{ number }} as decimal(18, 8))
                    end
            end
    end
{%- endmacro %}
