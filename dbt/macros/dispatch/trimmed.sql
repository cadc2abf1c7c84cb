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

{#
    DuckDB makes a new text of every one that it trims, so it looks at both ends first.
    The SQL of the text is repeated, so this macro is for plain columns.
#}
{% macro trimmed_column(column) -%}
    {{ adapter.dispatch('trimmed_column')(column) }}
{%- endmacro %}

{% macro duckdb__trimmed_column(column) -%}
    case
        when starts_with({{ column }}, ' ') or ends_with({{ column }}, ' ')
            then {{ trimmed(column) }}
        else {{ column }}
    end
{%- endmacro %}

{% macro redshift__trimmed_column(column) -%}
    {{ trimmed(column) }}
{%- endmacro %}
