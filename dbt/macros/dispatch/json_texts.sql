{#
    DuckDB parses the JSON text again in each call, so one call reads all keys. Redshift
    has no function that reads several keys, so there the value is the JSON object
    itself.
#}
{% macro json_texts(json, keys) -%}
    {{ adapter.dispatch('json_texts')(json, keys) }}
{%- endmacro %}

{% macro text_of(texts, keys, key) -%}
    {%- if key not in keys -%}
        {{ exceptions.raise_compiler_error(
            "text_of() finds no key " ~ key ~ " among " ~ keys | join(", ")
            ~ ": add it to the list of keys that json_texts() reads."
        ) }}
    {%- endif -%}
    {{ adapter.dispatch('text_of')(texts, keys, key) }}
{%- endmacro %}

{% macro duckdb__json_texts(json, keys) -%}
    json_extract_string({{ json }}, ['$."{{ keys | join('"\', \'$."') }}"'])
{%- endmacro %}

{% macro duckdb__text_of(texts, keys, key) -%}
    nullif(rtrim({{ texts }}[{{ keys.index(key) + 1 }}], ' '), '')
{%- endmacro %}

{% macro redshift__json_texts(json, keys) -%}
    {{ json }}
{%- endmacro %}

{% macro redshift__text_of(texts, keys, key) -%}
    {{ redshift__json_text(texts, key) }}
{%- endmacro %}
