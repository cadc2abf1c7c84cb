{% macro reporting_currency() -%}
    '{{ env_var('GAME_ANALYTICS_REPORTING_CURRENCY', 'USD') }}'
{%- endmacro %}
