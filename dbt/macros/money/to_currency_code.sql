{# An ISO 4217 code: upper case, aliases resolved, a missing one is the reporting currency. #}
{% macro to_currency_code(code, alias) -%}
    coalesce({{ alias }}, nullif(upper({{ trimmed(code) }}), ''), {{ reporting_currency() }})
{%- endmacro %}
