{# A text without spaces at its ends; DuckDB would take other blanks of Unicode as well, Redshift does not. #}
{% macro trimmed(text) -%}
    {{ adapter.dispatch('trimmed')(text) }}
{%- endmacro %}

{% macro duckdb__trimmed(text) -%}
    trim({{ text }}, ' ')
{%- endmacro %}

{% macro redshift__trimmed(text) -%}
    trim({{ text }})
{%- endmacro %}
