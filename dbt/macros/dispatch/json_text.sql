{#
    Redshift treats two texts as equal that differ only in spaces at their ends, and
    DuckDB does not, so these spaces are removed.
#}
{% macro json_text(json, key) -%}
    {{ adapter.dispatch('json_text')(json, key) }}
{%- endmacro %}

{% macro duckdb__json_text(json, key) -%}
    {{ duckdb__text_of(duckdb__json_texts(json, [key], 'false'), [key], key, 'false') }}
{%- endmacro %}

{% macro redshift__json_text(json, key) -%}
    nullif(rtrim(json_extract_path_text({{ json }}, '{{ key }}', true), ' '), '')
{%- endmacro %}
