{# The text at a path of keys in a JSON object; null if it is missing, null or empty. #}
{% macro json_text_at(json, path) -%}
    {{ adapter.dispatch('json_text_at')(json, path) }}
{%- endmacro %}

{% macro duckdb__json_text_at(json, path) -%}
    nullif(json_extract_string({{ json }}, '$."{{ path | join('"."') }}"'), '')
{%- endmacro %}

{% macro redshift__json_text_at(json, path) -%}
    nullif(json_extract_path_text({{ json }}, '{{ path | join("', '") }}', true), '')
{%- endmacro %}
