{#
    The text of a top-level key of a JSON object, without spaces at its end; null if nothing is left.
    Redshift holds texts equal that differ in such spaces only, DuckDB does not: so none are let in.
#}
{% macro json_text(json, key) -%}
    {{ adapter.dispatch('json_text')(json, key) }}
{%- endmacro %}

{% macro duckdb__json_text(json, key) -%}
    nullif(rtrim(json_extract_string({{ json }}, '$."{{ key }}"'), ' '), '')
{%- endmacro %}

{% macro redshift__json_text(json, key) -%}
    nullif(rtrim(json_extract_path_text({{ json }}, '{{ key }}', true), ' '), '')
{%- endmacro %}
