{#
    The patterns are read one after the other, so the common ones come first. A comma
    before exactly three digits is ambiguous, see is_ambiguous_amount(). A number with
    an exponent is written out first, because a cast would make it a double.
#}
{% macro parsed_amount(text, precision=24, scale=8) -%}
    {{ adapter.dispatch('parsed_amount')(text, precision, scale) }}
{%- endmacro %}

{% macro duckdb__parsed_amount(text, precision, scale) -%}
    {%- set amount = amount_text(text) -%}
    {%- set three = "[+-]?[0-9]{1,3}" -%}
    {%- set type = 'decimal(' ~ precision ~ ', ' ~ scale ~ ')' -%}
    case
        when regexp_matches({{ text }}, '^[+-]?[0-9]{1,200}([.][0-9]{0,200})?$')
            then try_cast({{ text }} as {{ type }})
        when regexp_matches(
            {{ amount }}, '^[+-]?([0-9]{1,200}([.][0-9]{0,200})?|[.][0-9]{1,200})$'
        )
            then try_cast({{ amount }} as {{ type }})
        when {{ is_ambiguous_amount(text) }} then null
        when regexp_matches(
            {{ amount }}, '^[+-]?([0-9]{1,200},[0-9]{0,200}|,[0-9]{1,200})$'
        )
            then try_cast(replace({{ amount }}, ',', '.') as {{ type }})
        when regexp_matches(
            {{ amount }},
            '^{{ three }}((,[0-9]{3})+[.][0-9]{0,200}|(,[0-9]{3}){2,60})$'
        )
            then try_cast(replace({{ amount }}, ',', '') as {{ type }})
        when regexp_matches(
            {{ amount }},
            '^{{ three }}(([.][0-9]{3})+,[0-9]{0,200}|([.][0-9]{3}){2,60})$'
        )
            then try_cast(
                replace(replace({{ amount }}, '.', ''), ',', '.') as {{ type }}
            )
        when regexp_matches(
            {{ amount }}, '^{{ three }}(( [0-9]{3})+|(''[0-9]{3})+)([.,][0-9]{0,200})?$'
        )
            then try_cast(
                replace(translate({{ amount }}, ' ''', ''), ',', '.') as {{ type }}
            )
        when regexp_matches(
            {{ amount }},
            '^[+-]?([0-9]{1,200}([.,][0-9]{0,200})?|[.,][0-9]{1,200})'
            || '[eE][+-]?[0-9]{1,2}$'
        )
            then try_cast(
                {{ without_exponent("replace(" ~ amount ~ ", ',', '.')") }}
                as {{ type }}
            )
    end
{%- endmacro %}

{#
    9999999999999999.99999999 as a double is 10^16. So the double is compared only to
    find out whether a decimal can hold the number, and the decimal is compared exactly.
    The cast keeps more decimals and round() follows, because Redshift's documentation
    does not state whether a cast of text rounds. A number of more than 308 digits is no
    double, so the pattern has bounds.
#}
{% macro redshift__parsed_amount(text, precision, scale) -%}
    {%- set amount = amount_text(text) -%}
    {%- set three = "[+-]?[0-9]{1,3}" -%}
    {%- set limit = 10 ** (precision - scale) -%}
    {%- set number -%}
        case
            when {{ is_ambiguous_amount(text) }} then null
            when
                {{ amount }}
                ~ '^{{ three }}((,[0-9]{3})+[.][0-9]{0,200}|(,[0-9]{3}){2,60})$'
                then replace({{ amount }}, ',', '')
            when
                {{ amount }}
                ~ '^{{ three }}(([.][0-9]{3})+,[0-9]{0,200}|([.][0-9]{3}){2,60})$'
                then replace(replace({{ amount }}, '.', ''), ',', '.')
            when
                {{ amount }}
                ~ '^{{ three }}(( [0-9]{3})+|(''[0-9]{3})+)([.,][0-9]{0,200})?$'
                then replace(
                    replace(replace({{ amount }}, ' ', ''), '''', ''), ',', '.'
                )
            when
                {{ amount }}
                ~ (
                    '^[+-]?([0-9]{1,200}([.,][0-9]{0,200})?|[.,][0-9]{1,200})'
                    || '[eE][+-]?[0-9]{1,2}$'
                )
                then {{ without_exponent("replace(" ~ amount ~ ", ',', '.')") }}
            else replace({{ amount }}, ',', '.')
        end
    {%- endset -%}
    {%- set exact -%}
        round(
            cast({{ number }} as decimal(38, {{ 37 - precision + scale }})),
            {{ scale }}
        )
    {%- endset -%}
    case
        when
            {{ number }}
            ~ '^[+-]?([0-9]{1,255}([.][0-9]{0,255})?|[.][0-9]{1,255})$'
            then case
                when
                    abs(cast({{ number }} as double precision))
                    < {{ limit + (2 if limit > 10 ** 15 else 1) }}
                    then case
                        when abs({{ exact }}) < cast({{ limit }} as decimal(38, 0))
                            then cast(
                                {{ exact }} as decimal({{ precision }}, {{ scale }})
                            )
                    end
            end
    end
{%- endmacro %}
