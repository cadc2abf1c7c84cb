{# The text of a top-level key of a JSON object; null if it is missing, null or empty. #}
{% macro json_text(json, key) -%}
    {{ adapter.dispatch('json_text')(json, key) }}
{%- endmacro %}

{% macro duckdb__json_text(json, key) -%}
    nullif(json_extract_string({{ json }}, '$."{{ key }}"'), '')
{%- endmacro %}

{% macro redshift__json_text(json, key) -%}
    nullif(json_extract_path_text({{ json }}, '{{ key }}', true), '')
{%- endmacro %}
