{#
    DuckDB parses the JSON text again in each call, so one call reads all keys. Redshift
    has no function that reads several keys, so there the value is the JSON object
    itself.
#}
{% macro json_texts(json, keys, is_plain='false') -%}
    {{ adapter.dispatch('json_texts')(json, keys, is_plain) }}
{%- endmacro %}

{% macro text_of(texts, keys, key, is_plain='false') -%}
    {%- do place_of_key(keys, key) -%}
    {{ adapter.dispatch('text_of')(texts, keys, key, is_plain) }}
{%- endmacro %}

{% macro number_of(texts, keys, key, is_plain='false') -%}
    {%- do place_of_key(keys, key) -%}
    {{ adapter.dispatch('number_of')(texts, keys, key, is_plain) }}
{%- endmacro %}

{#
    An exponent moves 99 digits at most. A number that begins with 0 must be 0, and a
    number with a negative exponent stays as it is.
#}
{% macro integer_pattern() -%}
    ^-?([1-9][0-9]*([.][0-9]+)?([eE][+]?0*[0-9]{1,2})?|0([.]0+)?([eE][+-]?[0-9]+)?)$
{%- endmacro %}

{% macro place_of_key(keys, key) -%}
    {%- if key not in keys -%}
        {{ exceptions.raise_compiler_error(
            "text_of() finds no key " ~ key ~ " among " ~ keys | join(", ")
            ~ ": add it to the list of keys that json_texts() reads."
        ) }}
    {%- endif -%}
    {{ return(keys.index(key) + 1) }}
{%- endmacro %}

{#
    json_extract_string() takes the first of two equal keys, and it writes a number as a
    double writes it (1000.0 for 1e3). So an object in which a key may occur twice, or
    in which a key has such a number, is read by place: all keys and all values, each
    number as it is in the text. That takes ten times as long, and such objects are few.
    The list holds the texts, and behind them the texts of the values that are numbers.
#}
{% macro inexact_number_pattern() -%}
    (-?[0-9]+[.]?[0-9]*[eE]|-0|-?[0-9.]{16}|-?0[.]000)
{%- endmacro %}

{% macro rounded_number_pattern() -%}
    (-?[0-9]+[.][0-9]*0\s*[,}])
{%- endmacro %}

{% macro repeated_keys_pattern(keys) -%}
    {%- for key in keys -%}
        "{{ key }}"(?s:.)*"{{ key }}"{{ "|" if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{% macro duckdb__json_texts(json, keys, is_plain) -%}
    {%- set unusual -%}
        "({{ keys | join('|') }})"\s*:\s*
        {{- '(' }}{{ inexact_number_pattern() }}|{{ rounded_number_pattern() }})|
        {{- repeated_keys_pattern(keys) }}|\\u00[0-7]
    {%- endset -%}
    {#- chr(1) and chr(2) occur in no JSON text. They become the quotes of a number. -#}
    {%- set quoted -%}
        replace(replace(replace(
            regexp_replace(
                {{ json }},
                '("([^"\\]|\\.)*")|(-?[0-9][-+.0-9eE]*)',
                '\1' || chr(1) || '\3' || chr(2),
                'g'
            ),
            chr(1) || chr(2), ''), chr(1), '"'), chr(2), '"')
    {%- endset -%}
    case
        when {{ is_plain }}
            then json_extract_string({{ json }}, ['$.{{ keys | join("', '$.") }}'])
        when regexp_matches({{ json }}, '{{ unusual }}')
            then [
                {%- for key in keys %}
                {%- set place -%}
                    (
                        len(json_keys({{ json }})) + 1 - nullif(
                            list_position(
                                list_reverse(json_keys({{ json }})), '{{ key }}'
                            ),
                            0
                        )
                    )
                {%- endset %}
                case
                    when json_type({{ json }}, '$.*')[{{ place }}]
                        in ('BIGINT', 'UBIGINT', 'DOUBLE')
                        then json_extract_string({{ quoted }}, '$.*')[{{ place }}]
                    else json_extract_string({{ json }}, '$.*')[{{ place }}]
                end,
                {%- endfor %}
                {%- for key in keys %}
                {%- set place -%}
                    (
                        len(json_keys({{ json }})) + 1 - nullif(
                            list_position(
                                list_reverse(json_keys({{ json }})), '{{ key }}'
                            ),
                            0
                        )
                    )
                {%- endset %}
                case
                    when json_type({{ json }}, '$.*')[{{ place }}]
                        in ('BIGINT', 'UBIGINT', 'DOUBLE')
                        then json_extract_string({{ quoted }}, '$.*')[{{ place }}]
                end{{ "," if not loop.last }}
                {%- endfor %}
            ]
        else json_extract_string({{ json }}, ['$."{{ keys | join('"\', \'$."') }}"'])
    end
{%- endmacro %}

{% macro duckdb__text_of(texts, keys, key, is_plain) -%}
    {%- set text = texts ~ '[' ~ place_of_key(keys, key) ~ ']' -%}
    case
        when {{ is_plain }} then {{ text }}
        else nullif(rtrim({{ text }}, ' '), '')
    end
{%- endmacro %}

{% macro duckdb__number_of(texts, keys, key, is_plain) -%}
    case
        when {{ is_plain }} then null
        when regexp_matches(
            {{ texts }}[{{ keys | length + place_of_key(keys, key) }}],
            '{{ integer_pattern() }}'
        )
            then {{ texts }}[{{ keys | length + place_of_key(keys, key) }}]
    end
{%- endmacro %}

{% macro redshift__json_texts(json, keys, is_plain) -%}
    {{ json }}
{%- endmacro %}

{% macro redshift__text_of(texts, keys, key, is_plain) -%}
    {{ redshift__json_text(texts, key) }}
{%- endmacro %}

{#
    json_extract_path_text() gives the same text for the number 1e3 and for the string
    "1e3", and a string must stay as it is. So each string behind this key gets a
    character in front that no number has. A key that is written with escapes is not
    found, so a number behind it stays as it is written.
#}
{% macro redshift__number_of(texts, keys, key, is_plain) -%}
    {%- set name = '"' ~ key ~ '"[[:space:]]*:[[:space:]]*' -%}
    {%- set marked -%}
        json_extract_path_text(
            regexp_replace({{ texts }}, '{{ name }}"', '"{{ key }}":"#'),
            '{{ key }}',
            true
        )
    {%- endset -%}
    case
        when {{ texts }} ~ '{{ name }}-?([0-9]+[.eE]|0)'
            then case
                when {{ marked }} ~ '{{ integer_pattern() }}' then {{ marked }}
            end
    end
{%- endmacro %}
