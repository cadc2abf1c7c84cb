{#
    Almost every event is plain JSON. One search finds out that none of the rare cases
    occurs for which the other macros look value by value, which takes several times as
    long. Redshift has no shorter way to read plain JSON, so there none counts as plain.
#}
{% macro is_plain_json(json, keys, amounts=[]) -%}
    {{ adapter.dispatch('is_plain_json')(json, keys, amounts) }}
{%- endmacro %}

{#
    A value is not plain if it is a list, an object, a text that looks like one of them,
    an empty text, a text with a space at its end, or a number that a double may write
    in another way. An amount is the same number with and without zeros at its end.
#}
{% macro duckdb__is_plain_json(json, keys, amounts) -%}
    {%- set no_name = '"?[{\\[]|"([^"]* )?"' -%}
    {%- set not_plain -%}
        "({{ keys | join('|') }})"\s*:\s*
        {{- '(' }}{{ inexact_number_pattern() }}|{{ no_name }})|
        {%- if keys | reject('in', amounts) | list -%}
            "({{ keys | reject('in', amounts) | join('|') }})"\s*:\s*
            {{- rounded_number_pattern() }}|
        {%- endif -%}
        {{- repeated_keys_pattern(keys) }}|{{ not_json_pattern() }}
    {%- endset -%}
    (
        starts_with({{ json }}, '{')
        and not contains({{ json }}, '\')
        and json_valid({{ json }})
        and not regexp_matches({{ json }}, '{{ not_plain }}')
    )
{%- endmacro %}

{% macro redshift__is_plain_json(json, keys, amounts) -%}
    false
{%- endmacro %}
