{# The currency of every money column, as an SQL literal: GAME_ANALYTICS_REPORTING_CURRENCY. #}
{% macro reporting_currency() -%}
    '{{ env_var('GAME_ANALYTICS_REPORTING_CURRENCY', 'USD') }}'
{%- endmacro %}
