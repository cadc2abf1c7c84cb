{#
    The patterns are read one after the other, so the common ones come first. A comma
    before exactly three digits is ambiguous, see is_ambiguous_amount().
#}
{% macro parsed_amount(text) -%}
    {{ adapter.dispatch('parsed_amount')(text) }}
{%- endmacro %}

{% macro duckdb__parsed_amount(text) -%}
    {%- set amount = trimmed(text) -%}
    {%- set exponent = "([eE][+-]?[0-9]{1,2})?" -%}
    {%- set three = "[+-]?[0-9]{1,3}" -%}
    case
        when regexp_matches(
            {{ amount }},
            '^[+-]?([0-9]{1,200}([.][0-9]{0,200})?|[.][0-9]{1,200}){{ exponent }}$'
        )
            then try_cast({{ amount }} as decimal(18, 8))
        when {{ is_ambiguous_amount(text) }} then null
        when regexp_matches(
            {{ amount }},
            '^[+-]?([0-9]{1,200},[0-9]{0,200}|,[0-9]{1,200}){{ exponent }}$'
        )
            then try_cast(replace({{ amount }}, ',', '.') as decimal(18, 8))
        when regexp_matches(
            {{ amount }},
            '^{{ three }}((,[0-9]{3})+[.][0-9]{0,200}|(,[0-9]{3}){2,60})$'
        )
            then try_cast(replace({{ amount }}, ',', '') as decimal(18, 8))
        when regexp_matches(
            {{ amount }},
            '^{{ three }}(([.][0-9]{3})+,[0-9]{0,200}|([.][0-9]{3}){2,60})$'
        )
            then try_cast(
                replace(replace({{ amount }}, '.', ''), ',', '.') as decimal(18, 8)
            )
        when regexp_matches(
            {{ amount }}, '^{{ three }}( [0-9]{3})+([.,][0-9]{0,200})?$'
        )
            then try_cast(
                replace(replace({{ amount }}, ' ', ''), ',', '.') as decimal(18, 8)
            )
    end
{%- endmacro %}

{#
    9999999999.99999999 as a double is 10^10. So the double is compared only to find out
    whether a decimal can hold the number, and the decimal is compared exactly. The cast
    keeps twenty decimals and round() follows, because Redshift's documentation does not
    state whether a cast of text rounds.
#}
{% macro redshift__parsed_amount(text) -%}
    {%- set amount = trimmed(text) -%}
    {%- set three = "[+-]?[0-9]{1,3}" -%}
    {%- set number -%}
        case
            when {{ is_ambiguous_amount(text) }} then null
            when
                {{ amount }}
                ~ '^{{ three }}((,[0-9]{3})+[.][0-9]*|,[0-9]{3}(,[0-9]{3})+)$'
                then replace({{ amount }}, ',', '')
            when
                {{ amount }}
                ~ '^{{ three }}(([.][0-9]{3})+,[0-9]*|[.][0-9]{3}([.][0-9]{3})+)$'
                then replace(replace({{ amount }}, '.', ''), ',', '.')
            when {{ amount }} ~ '^{{ three }}( [0-9]{3})+([.,][0-9]*)?$'
                then replace(replace({{ amount }}, ' ', ''), ',', '.')
            else replace({{ amount }}, ',', '.')
        end
    {%- endset -%}
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
        when
            {{ number }}
            ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,2})?$'
            then case
                when abs(cast({{ number }} as double precision)) < 10000000001
                    then case
                        when abs({{ exact }}) < 10000000000
                            then cast({{ exact }} as decimal(18, 8))
                    end
            end
    end
{%- endmacro %}
