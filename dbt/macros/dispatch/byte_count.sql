{% macro byte_count(text) -%}
    {{ adapter.dispatch('byte_count')(text) }}
{%- endmacro %}

{% macro duckdb__byte_count(text) -%}
    strlen({{ text }})
{%- endmacro %}

{% macro redshift__byte_count(text) -%}
    octet_length({{ text }})
{%- endmacro %}
