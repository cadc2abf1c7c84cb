{#
    The texts of several top-level keys of a JSON object. `json_texts` makes one value of them, a column of a CTE,
    and `text_of` takes a key out of it in the next, as `json_text` does.
    DuckDB reads a JSON text anew for every call, so that ten keys one by one cost ten readings; Redshift has no
    function for several keys, so there the value is the object itself.
#}
{% macro json_texts(json, keys) -%}
    {{ adapter.dispatch('json_texts')(json, keys) }}
{%- endmacro %}

{% macro text_of(texts, keys, key) -%}
    {%- if key not in keys -%}
        {{ exceptions.raise_compiler_error(key ~ " is none of the keys that were read: " ~ keys) }}
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
