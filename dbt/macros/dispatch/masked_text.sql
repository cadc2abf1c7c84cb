{% macro masked_text(text) -%}
    {{ adapter.dispatch('masked_text')(text) }}
{%- endmacro %}

{% macro kept_characters() -%}
    {{ return(']<>(){}",.:;=?@_|~+/* \t9-') }}
{%- endmacro %}

{% macro duckdb__masked_text(text) -%}
    regexp_replace(
        regexp_replace({{ text }}, '[0-9]', '9', 'g'),
        '[^{{ kept_characters() }}]', 'x', 'g'
    )
{%- endmacro %}

{# Redshift replaces every match, so it needs no flag. #}
{% macro redshift__masked_text(text) -%}
    regexp_replace(
        regexp_replace({{ text }}, '[0-9]', '9'),
        '[^{{ kept_characters() }}]', 'x'
    )
{%- endmacro %}
