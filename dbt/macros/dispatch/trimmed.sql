{# By default DuckDB also removes other blanks of Unicode, and Redshift does not. #}
{% macro trimmed(text) -%}
    {{ adapter.dispatch('trimmed')(text) }}
{%- endmacro %}

{% macro duckdb__trimmed(text) -%}
    trim({{ text }}, ' ')
{%- endmacro %}

{% macro redshift__trimmed(text) -%}
    trim({{ text }})
{%- endmacro %}
