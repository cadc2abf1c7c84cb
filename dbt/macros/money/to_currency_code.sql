{% macro to_currency_code(code, alias) -%}
    coalesce(
        {{ alias }}, nullif(upper({{ trimmed(code) }}), ''), {{ reporting_currency() }}
    )
{%- endmacro %}
